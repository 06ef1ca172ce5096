"""Fleets: many replicas behind routers, scaled and interrupted, request by request. Pure."""

from optiinfra.twin.fleet.answers import DeploymentAnswer, FleetSeries
from optiinfra.twin.fleet.fluid import FluidAnswer, simulate_fluid
from optiinfra.twin.fleet.pools import Pool, SimulatedDeployment, SpotSource
from optiinfra.twin.fleet.routing import Routing
from optiinfra.twin.fleet.scaling import (
    DeploymentView,
    FixedScaler,
    PoolView,
    Scaler,
    UtilizationScaler,
)
from optiinfra.twin.fleet.service_curve import ServiceCurve, measure_service_curve
from optiinfra.twin.fleet.simulate import simulate_fleet

__all__ = [
    "DeploymentAnswer",
    "DeploymentView",
    "FixedScaler",
    "FleetSeries",
    "FluidAnswer",
    "Pool",
    "PoolView",
    "Routing",
    "Scaler",
    "ServiceCurve",
    "SimulatedDeployment",
    "SpotSource",
    "UtilizationScaler",
    "measure_service_curve",
    "simulate_fleet",
    "simulate_fluid",
]

"""Settings for a command: the environment, with errors a person can act on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from optiinfra.domain.errors import InputError

if TYPE_CHECKING:
    from optiinfra.settings import Settings


def load_settings() -> Settings:
    """The settings from OPTIINFRA_* variables; raises InputError that names the wrong one."""
    from pydantic import ValidationError

    from optiinfra.settings import Settings

    try:
        return Settings()
    except ValidationError as error:
        first = error.errors(include_input=False)[0]  # the value may be a secret
        name = "_".join(str(part) for part in first["loc"]).upper()
        raise InputError(
            f"This setting cannot be used: {first['msg']}.",
            remedy="Correct the environment variable, or unset it to use the default.",
            field=f"OPTIINFRA_{name}" if name else None,
        ) from None

-- Raw rows of five tables of series, their rollups by hour and by day, and summaries of those.
-- Every dimension is in the key of a rollup, sums are decimals (exact in any order, to 1e-9) and quantile
-- sketches add up, so a rollup equals the raw aggregate however its parts were merged. A summary is the
-- same over fewer dimensions (`summarized_by` in domain/metric_tables.py), so that a question over a
-- month merges hundreds of sketches and not one of every series. Granules are small because a sketch
-- is read whole: with the usual 8192 rows a question reads those of other customers as well.
-- The deduplication windows make a retried insert with the same token count once, in the rollups too.

CREATE TABLE IF NOT EXISTS cost_metrics_ts
(
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    cloud_provider LowCardinality(String),
    service_name LowCardinality(String),
    instance_id LowCardinality(String),
    instance_type LowCardinality(String),
    region LowCardinality(String),
    is_spot Bool,
    is_reserved Bool,
    cost_per_hour Nullable(Float64) COMMENT 'USD',
    utilization_percent Nullable(Float64)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (customer_id, instance_id, timestamp)
TTL toDateTime(timestamp) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS cost_metrics_hourly
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    cloud_provider LowCardinality(String),
    service_name LowCardinality(String),
    instance_id LowCardinality(String),
    instance_type LowCardinality(String),
    region LowCardinality(String),
    is_spot Bool,
    is_reserved Bool,
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    cost_per_hour_count SimpleAggregateFunction(sum, UInt64),
    cost_per_hour_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    cost_per_hour_min SimpleAggregateFunction(min, Nullable(Float64)),
    cost_per_hour_max SimpleAggregateFunction(max, Nullable(Float64)),
    utilization_percent_count SimpleAggregateFunction(sum, UInt64),
    utilization_percent_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    utilization_percent_min SimpleAggregateFunction(min, Nullable(Float64)),
    utilization_percent_max SimpleAggregateFunction(max, Nullable(Float64)),
    utilization_percent_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (customer_id, cloud_provider, service_name, instance_id, instance_type, region, is_spot, is_reserved, bucket)
TTL bucket + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS cost_metrics_daily
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    cloud_provider LowCardinality(String),
    service_name LowCardinality(String),
    instance_id LowCardinality(String),
    instance_type LowCardinality(String),
    region LowCardinality(String),
    is_spot Bool,
    is_reserved Bool,
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    cost_per_hour_count SimpleAggregateFunction(sum, UInt64),
    cost_per_hour_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    cost_per_hour_min SimpleAggregateFunction(min, Nullable(Float64)),
    cost_per_hour_max SimpleAggregateFunction(max, Nullable(Float64)),
    utilization_percent_count SimpleAggregateFunction(sum, UInt64),
    utilization_percent_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    utilization_percent_min SimpleAggregateFunction(min, Nullable(Float64)),
    utilization_percent_max SimpleAggregateFunction(max, Nullable(Float64)),
    utilization_percent_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(bucket)
ORDER BY (customer_id, cloud_provider, service_name, instance_id, instance_type, region, is_spot, is_reserved, bucket)
TTL bucket + INTERVAL 1830 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS cost_metrics_hourly_summary
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    cloud_provider LowCardinality(String),
    service_name LowCardinality(String),
    instance_type LowCardinality(String),
    region LowCardinality(String),
    is_spot Bool,
    is_reserved Bool,
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    cost_per_hour_count SimpleAggregateFunction(sum, UInt64),
    cost_per_hour_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    cost_per_hour_min SimpleAggregateFunction(min, Nullable(Float64)),
    cost_per_hour_max SimpleAggregateFunction(max, Nullable(Float64)),
    utilization_percent_count SimpleAggregateFunction(sum, UInt64),
    utilization_percent_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    utilization_percent_min SimpleAggregateFunction(min, Nullable(Float64)),
    utilization_percent_max SimpleAggregateFunction(max, Nullable(Float64)),
    utilization_percent_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (customer_id, cloud_provider, service_name, instance_type, region, is_spot, is_reserved, bucket)
TTL bucket + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS cost_metrics_daily_summary
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    cloud_provider LowCardinality(String),
    service_name LowCardinality(String),
    instance_type LowCardinality(String),
    region LowCardinality(String),
    is_spot Bool,
    is_reserved Bool,
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    cost_per_hour_count SimpleAggregateFunction(sum, UInt64),
    cost_per_hour_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    cost_per_hour_min SimpleAggregateFunction(min, Nullable(Float64)),
    cost_per_hour_max SimpleAggregateFunction(max, Nullable(Float64)),
    utilization_percent_count SimpleAggregateFunction(sum, UInt64),
    utilization_percent_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    utilization_percent_min SimpleAggregateFunction(min, Nullable(Float64)),
    utilization_percent_max SimpleAggregateFunction(max, Nullable(Float64)),
    utilization_percent_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(bucket)
ORDER BY (customer_id, cloud_provider, service_name, instance_type, region, is_spot, is_reserved, bucket)
TTL bucket + INTERVAL 1830 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE MATERIALIZED VIEW IF NOT EXISTS cost_metrics_to_hours TO cost_metrics_hourly AS
SELECT
    toStartOfHour(timestamp) AS bucket,
    customer_id,
    cloud_provider,
    service_name,
    instance_id,
    instance_type,
    region,
    is_spot,
    is_reserved,
    count() AS num_rows,
    min(timestamp) AS first_at,
    max(timestamp) AS last_at,
    count(cost_per_hour) AS cost_per_hour_count,
    ifNull(sum(toDecimal128(cost_per_hour, 9)), toDecimal128(0, 9)) AS cost_per_hour_sum,
    min(cost_per_hour) AS cost_per_hour_min,
    max(cost_per_hour) AS cost_per_hour_max,
    count(utilization_percent) AS utilization_percent_count,
    ifNull(sum(toDecimal128(utilization_percent, 9)), toDecimal128(0, 9)) AS utilization_percent_sum,
    min(utilization_percent) AS utilization_percent_min,
    max(utilization_percent) AS utilization_percent_max,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(utilization_percent) AS utilization_percent_sketch
FROM cost_metrics_ts
GROUP BY bucket, customer_id, cloud_provider, service_name, instance_id, instance_type, region, is_spot, is_reserved;

CREATE MATERIALIZED VIEW IF NOT EXISTS cost_metrics_to_days TO cost_metrics_daily AS
SELECT
    toStartOfDay(h.bucket) AS bucket,
    h.customer_id AS customer_id,
    h.cloud_provider AS cloud_provider,
    h.service_name AS service_name,
    h.instance_id AS instance_id,
    h.instance_type AS instance_type,
    h.region AS region,
    h.is_spot AS is_spot,
    h.is_reserved AS is_reserved,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.cost_per_hour_count) AS cost_per_hour_count,
    sum(h.cost_per_hour_sum) AS cost_per_hour_sum,
    min(h.cost_per_hour_min) AS cost_per_hour_min,
    max(h.cost_per_hour_max) AS cost_per_hour_max,
    sum(h.utilization_percent_count) AS utilization_percent_count,
    sum(h.utilization_percent_sum) AS utilization_percent_sum,
    min(h.utilization_percent_min) AS utilization_percent_min,
    max(h.utilization_percent_max) AS utilization_percent_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.utilization_percent_sketch) AS utilization_percent_sketch
FROM cost_metrics_hourly AS h
GROUP BY bucket, customer_id, cloud_provider, service_name, instance_id, instance_type, region, is_spot, is_reserved;

CREATE MATERIALIZED VIEW IF NOT EXISTS cost_metrics_to_hourly_summary TO cost_metrics_hourly_summary AS
SELECT
    h.bucket AS bucket,
    h.customer_id AS customer_id,
    h.cloud_provider AS cloud_provider,
    h.service_name AS service_name,
    h.instance_type AS instance_type,
    h.region AS region,
    h.is_spot AS is_spot,
    h.is_reserved AS is_reserved,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.cost_per_hour_count) AS cost_per_hour_count,
    sum(h.cost_per_hour_sum) AS cost_per_hour_sum,
    min(h.cost_per_hour_min) AS cost_per_hour_min,
    max(h.cost_per_hour_max) AS cost_per_hour_max,
    sum(h.utilization_percent_count) AS utilization_percent_count,
    sum(h.utilization_percent_sum) AS utilization_percent_sum,
    min(h.utilization_percent_min) AS utilization_percent_min,
    max(h.utilization_percent_max) AS utilization_percent_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.utilization_percent_sketch) AS utilization_percent_sketch
FROM cost_metrics_hourly AS h
GROUP BY bucket, customer_id, cloud_provider, service_name, instance_type, region, is_spot, is_reserved;

CREATE MATERIALIZED VIEW IF NOT EXISTS cost_metrics_to_daily_summary TO cost_metrics_daily_summary AS
SELECT
    toStartOfDay(h.bucket) AS bucket,
    h.customer_id AS customer_id,
    h.cloud_provider AS cloud_provider,
    h.service_name AS service_name,
    h.instance_type AS instance_type,
    h.region AS region,
    h.is_spot AS is_spot,
    h.is_reserved AS is_reserved,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.cost_per_hour_count) AS cost_per_hour_count,
    sum(h.cost_per_hour_sum) AS cost_per_hour_sum,
    min(h.cost_per_hour_min) AS cost_per_hour_min,
    max(h.cost_per_hour_max) AS cost_per_hour_max,
    sum(h.utilization_percent_count) AS utilization_percent_count,
    sum(h.utilization_percent_sum) AS utilization_percent_sum,
    min(h.utilization_percent_min) AS utilization_percent_min,
    max(h.utilization_percent_max) AS utilization_percent_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.utilization_percent_sketch) AS utilization_percent_sketch
FROM cost_metrics_hourly_summary AS h
GROUP BY bucket, customer_id, cloud_provider, service_name, instance_type, region, is_spot, is_reserved;

CREATE TABLE IF NOT EXISTS performance_metrics_ts
(
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    service_id LowCardinality(String),
    service_type LowCardinality(String),
    model_name LowCardinality(String),
    request_id String,
    latency_ms Nullable(Float64),
    throughput_tokens_per_sec Nullable(Float64),
    gpu_utilization Nullable(Float64),
    kv_cache_utilization Nullable(Float64),
    batch_size Nullable(UInt64) CODEC(T64, LZ4),
    prompt_tokens Nullable(UInt64) CODEC(T64, LZ4),
    completion_tokens Nullable(UInt64) CODEC(T64, LZ4),
    total_tokens Nullable(UInt64) CODEC(T64, LZ4)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (customer_id, service_id, model_name, timestamp)
TTL toDateTime(timestamp) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS performance_metrics_hourly
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    service_id LowCardinality(String),
    service_type LowCardinality(String),
    model_name LowCardinality(String),
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    latency_ms_count SimpleAggregateFunction(sum, UInt64),
    latency_ms_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    latency_ms_min SimpleAggregateFunction(min, Nullable(Float64)),
    latency_ms_max SimpleAggregateFunction(max, Nullable(Float64)),
    latency_ms_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    throughput_tokens_per_sec_count SimpleAggregateFunction(sum, UInt64),
    throughput_tokens_per_sec_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    throughput_tokens_per_sec_min SimpleAggregateFunction(min, Nullable(Float64)),
    throughput_tokens_per_sec_max SimpleAggregateFunction(max, Nullable(Float64)),
    throughput_tokens_per_sec_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    gpu_utilization_count SimpleAggregateFunction(sum, UInt64),
    gpu_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    kv_cache_utilization_count SimpleAggregateFunction(sum, UInt64),
    kv_cache_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    kv_cache_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    kv_cache_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    batch_size_count SimpleAggregateFunction(sum, UInt64),
    batch_size_sum SimpleAggregateFunction(sum, UInt64),
    batch_size_min SimpleAggregateFunction(min, Nullable(UInt64)),
    batch_size_max SimpleAggregateFunction(max, Nullable(UInt64)),
    prompt_tokens_count SimpleAggregateFunction(sum, UInt64),
    prompt_tokens_sum SimpleAggregateFunction(sum, UInt64),
    prompt_tokens_min SimpleAggregateFunction(min, Nullable(UInt64)),
    prompt_tokens_max SimpleAggregateFunction(max, Nullable(UInt64)),
    completion_tokens_count SimpleAggregateFunction(sum, UInt64),
    completion_tokens_sum SimpleAggregateFunction(sum, UInt64),
    completion_tokens_min SimpleAggregateFunction(min, Nullable(UInt64)),
    completion_tokens_max SimpleAggregateFunction(max, Nullable(UInt64)),
    total_tokens_count SimpleAggregateFunction(sum, UInt64),
    total_tokens_sum SimpleAggregateFunction(sum, UInt64),
    total_tokens_min SimpleAggregateFunction(min, Nullable(UInt64)),
    total_tokens_max SimpleAggregateFunction(max, Nullable(UInt64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (customer_id, service_id, service_type, model_name, bucket)
TTL bucket + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS performance_metrics_daily
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    service_id LowCardinality(String),
    service_type LowCardinality(String),
    model_name LowCardinality(String),
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    latency_ms_count SimpleAggregateFunction(sum, UInt64),
    latency_ms_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    latency_ms_min SimpleAggregateFunction(min, Nullable(Float64)),
    latency_ms_max SimpleAggregateFunction(max, Nullable(Float64)),
    latency_ms_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    throughput_tokens_per_sec_count SimpleAggregateFunction(sum, UInt64),
    throughput_tokens_per_sec_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    throughput_tokens_per_sec_min SimpleAggregateFunction(min, Nullable(Float64)),
    throughput_tokens_per_sec_max SimpleAggregateFunction(max, Nullable(Float64)),
    throughput_tokens_per_sec_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    gpu_utilization_count SimpleAggregateFunction(sum, UInt64),
    gpu_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    kv_cache_utilization_count SimpleAggregateFunction(sum, UInt64),
    kv_cache_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    kv_cache_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    kv_cache_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    batch_size_count SimpleAggregateFunction(sum, UInt64),
    batch_size_sum SimpleAggregateFunction(sum, UInt64),
    batch_size_min SimpleAggregateFunction(min, Nullable(UInt64)),
    batch_size_max SimpleAggregateFunction(max, Nullable(UInt64)),
    prompt_tokens_count SimpleAggregateFunction(sum, UInt64),
    prompt_tokens_sum SimpleAggregateFunction(sum, UInt64),
    prompt_tokens_min SimpleAggregateFunction(min, Nullable(UInt64)),
    prompt_tokens_max SimpleAggregateFunction(max, Nullable(UInt64)),
    completion_tokens_count SimpleAggregateFunction(sum, UInt64),
    completion_tokens_sum SimpleAggregateFunction(sum, UInt64),
    completion_tokens_min SimpleAggregateFunction(min, Nullable(UInt64)),
    completion_tokens_max SimpleAggregateFunction(max, Nullable(UInt64)),
    total_tokens_count SimpleAggregateFunction(sum, UInt64),
    total_tokens_sum SimpleAggregateFunction(sum, UInt64),
    total_tokens_min SimpleAggregateFunction(min, Nullable(UInt64)),
    total_tokens_max SimpleAggregateFunction(max, Nullable(UInt64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(bucket)
ORDER BY (customer_id, service_id, service_type, model_name, bucket)
TTL bucket + INTERVAL 1830 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS performance_metrics_hourly_summary
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    model_name LowCardinality(String),
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    latency_ms_count SimpleAggregateFunction(sum, UInt64),
    latency_ms_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    latency_ms_min SimpleAggregateFunction(min, Nullable(Float64)),
    latency_ms_max SimpleAggregateFunction(max, Nullable(Float64)),
    latency_ms_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    throughput_tokens_per_sec_count SimpleAggregateFunction(sum, UInt64),
    throughput_tokens_per_sec_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    throughput_tokens_per_sec_min SimpleAggregateFunction(min, Nullable(Float64)),
    throughput_tokens_per_sec_max SimpleAggregateFunction(max, Nullable(Float64)),
    throughput_tokens_per_sec_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    gpu_utilization_count SimpleAggregateFunction(sum, UInt64),
    gpu_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    kv_cache_utilization_count SimpleAggregateFunction(sum, UInt64),
    kv_cache_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    kv_cache_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    kv_cache_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    batch_size_count SimpleAggregateFunction(sum, UInt64),
    batch_size_sum SimpleAggregateFunction(sum, UInt64),
    batch_size_min SimpleAggregateFunction(min, Nullable(UInt64)),
    batch_size_max SimpleAggregateFunction(max, Nullable(UInt64)),
    prompt_tokens_count SimpleAggregateFunction(sum, UInt64),
    prompt_tokens_sum SimpleAggregateFunction(sum, UInt64),
    prompt_tokens_min SimpleAggregateFunction(min, Nullable(UInt64)),
    prompt_tokens_max SimpleAggregateFunction(max, Nullable(UInt64)),
    completion_tokens_count SimpleAggregateFunction(sum, UInt64),
    completion_tokens_sum SimpleAggregateFunction(sum, UInt64),
    completion_tokens_min SimpleAggregateFunction(min, Nullable(UInt64)),
    completion_tokens_max SimpleAggregateFunction(max, Nullable(UInt64)),
    total_tokens_count SimpleAggregateFunction(sum, UInt64),
    total_tokens_sum SimpleAggregateFunction(sum, UInt64),
    total_tokens_min SimpleAggregateFunction(min, Nullable(UInt64)),
    total_tokens_max SimpleAggregateFunction(max, Nullable(UInt64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (customer_id, model_name, bucket)
TTL bucket + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS performance_metrics_daily_summary
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    model_name LowCardinality(String),
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    latency_ms_count SimpleAggregateFunction(sum, UInt64),
    latency_ms_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    latency_ms_min SimpleAggregateFunction(min, Nullable(Float64)),
    latency_ms_max SimpleAggregateFunction(max, Nullable(Float64)),
    latency_ms_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    throughput_tokens_per_sec_count SimpleAggregateFunction(sum, UInt64),
    throughput_tokens_per_sec_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    throughput_tokens_per_sec_min SimpleAggregateFunction(min, Nullable(Float64)),
    throughput_tokens_per_sec_max SimpleAggregateFunction(max, Nullable(Float64)),
    throughput_tokens_per_sec_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    gpu_utilization_count SimpleAggregateFunction(sum, UInt64),
    gpu_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    kv_cache_utilization_count SimpleAggregateFunction(sum, UInt64),
    kv_cache_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    kv_cache_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    kv_cache_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    batch_size_count SimpleAggregateFunction(sum, UInt64),
    batch_size_sum SimpleAggregateFunction(sum, UInt64),
    batch_size_min SimpleAggregateFunction(min, Nullable(UInt64)),
    batch_size_max SimpleAggregateFunction(max, Nullable(UInt64)),
    prompt_tokens_count SimpleAggregateFunction(sum, UInt64),
    prompt_tokens_sum SimpleAggregateFunction(sum, UInt64),
    prompt_tokens_min SimpleAggregateFunction(min, Nullable(UInt64)),
    prompt_tokens_max SimpleAggregateFunction(max, Nullable(UInt64)),
    completion_tokens_count SimpleAggregateFunction(sum, UInt64),
    completion_tokens_sum SimpleAggregateFunction(sum, UInt64),
    completion_tokens_min SimpleAggregateFunction(min, Nullable(UInt64)),
    completion_tokens_max SimpleAggregateFunction(max, Nullable(UInt64)),
    total_tokens_count SimpleAggregateFunction(sum, UInt64),
    total_tokens_sum SimpleAggregateFunction(sum, UInt64),
    total_tokens_min SimpleAggregateFunction(min, Nullable(UInt64)),
    total_tokens_max SimpleAggregateFunction(max, Nullable(UInt64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(bucket)
ORDER BY (customer_id, model_name, bucket)
TTL bucket + INTERVAL 1830 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE MATERIALIZED VIEW IF NOT EXISTS performance_metrics_to_hours TO performance_metrics_hourly AS
SELECT
    toStartOfHour(timestamp) AS bucket,
    customer_id,
    service_id,
    service_type,
    model_name,
    count() AS num_rows,
    min(timestamp) AS first_at,
    max(timestamp) AS last_at,
    count(latency_ms) AS latency_ms_count,
    ifNull(sum(toDecimal128(latency_ms, 9)), toDecimal128(0, 9)) AS latency_ms_sum,
    min(latency_ms) AS latency_ms_min,
    max(latency_ms) AS latency_ms_max,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(latency_ms) AS latency_ms_sketch,
    count(throughput_tokens_per_sec) AS throughput_tokens_per_sec_count,
    ifNull(sum(toDecimal128(throughput_tokens_per_sec, 9)), toDecimal128(0, 9)) AS throughput_tokens_per_sec_sum,
    min(throughput_tokens_per_sec) AS throughput_tokens_per_sec_min,
    max(throughput_tokens_per_sec) AS throughput_tokens_per_sec_max,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(throughput_tokens_per_sec) AS throughput_tokens_per_sec_sketch,
    count(gpu_utilization) AS gpu_utilization_count,
    ifNull(sum(toDecimal128(gpu_utilization, 9)), toDecimal128(0, 9)) AS gpu_utilization_sum,
    min(gpu_utilization) AS gpu_utilization_min,
    max(gpu_utilization) AS gpu_utilization_max,
    count(kv_cache_utilization) AS kv_cache_utilization_count,
    ifNull(sum(toDecimal128(kv_cache_utilization, 9)), toDecimal128(0, 9)) AS kv_cache_utilization_sum,
    min(kv_cache_utilization) AS kv_cache_utilization_min,
    max(kv_cache_utilization) AS kv_cache_utilization_max,
    count(batch_size) AS batch_size_count,
    ifNull(sum(batch_size), 0) AS batch_size_sum,
    min(batch_size) AS batch_size_min,
    max(batch_size) AS batch_size_max,
    count(prompt_tokens) AS prompt_tokens_count,
    ifNull(sum(prompt_tokens), 0) AS prompt_tokens_sum,
    min(prompt_tokens) AS prompt_tokens_min,
    max(prompt_tokens) AS prompt_tokens_max,
    count(completion_tokens) AS completion_tokens_count,
    ifNull(sum(completion_tokens), 0) AS completion_tokens_sum,
    min(completion_tokens) AS completion_tokens_min,
    max(completion_tokens) AS completion_tokens_max,
    count(total_tokens) AS total_tokens_count,
    ifNull(sum(total_tokens), 0) AS total_tokens_sum,
    min(total_tokens) AS total_tokens_min,
    max(total_tokens) AS total_tokens_max
FROM performance_metrics_ts
GROUP BY bucket, customer_id, service_id, service_type, model_name;

CREATE MATERIALIZED VIEW IF NOT EXISTS performance_metrics_to_days TO performance_metrics_daily AS
SELECT
    toStartOfDay(h.bucket) AS bucket,
    h.customer_id AS customer_id,
    h.service_id AS service_id,
    h.service_type AS service_type,
    h.model_name AS model_name,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.latency_ms_count) AS latency_ms_count,
    sum(h.latency_ms_sum) AS latency_ms_sum,
    min(h.latency_ms_min) AS latency_ms_min,
    max(h.latency_ms_max) AS latency_ms_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.latency_ms_sketch) AS latency_ms_sketch,
    sum(h.throughput_tokens_per_sec_count) AS throughput_tokens_per_sec_count,
    sum(h.throughput_tokens_per_sec_sum) AS throughput_tokens_per_sec_sum,
    min(h.throughput_tokens_per_sec_min) AS throughput_tokens_per_sec_min,
    max(h.throughput_tokens_per_sec_max) AS throughput_tokens_per_sec_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.throughput_tokens_per_sec_sketch) AS throughput_tokens_per_sec_sketch,
    sum(h.gpu_utilization_count) AS gpu_utilization_count,
    sum(h.gpu_utilization_sum) AS gpu_utilization_sum,
    min(h.gpu_utilization_min) AS gpu_utilization_min,
    max(h.gpu_utilization_max) AS gpu_utilization_max,
    sum(h.kv_cache_utilization_count) AS kv_cache_utilization_count,
    sum(h.kv_cache_utilization_sum) AS kv_cache_utilization_sum,
    min(h.kv_cache_utilization_min) AS kv_cache_utilization_min,
    max(h.kv_cache_utilization_max) AS kv_cache_utilization_max,
    sum(h.batch_size_count) AS batch_size_count,
    sum(h.batch_size_sum) AS batch_size_sum,
    min(h.batch_size_min) AS batch_size_min,
    max(h.batch_size_max) AS batch_size_max,
    sum(h.prompt_tokens_count) AS prompt_tokens_count,
    sum(h.prompt_tokens_sum) AS prompt_tokens_sum,
    min(h.prompt_tokens_min) AS prompt_tokens_min,
    max(h.prompt_tokens_max) AS prompt_tokens_max,
    sum(h.completion_tokens_count) AS completion_tokens_count,
    sum(h.completion_tokens_sum) AS completion_tokens_sum,
    min(h.completion_tokens_min) AS completion_tokens_min,
    max(h.completion_tokens_max) AS completion_tokens_max,
    sum(h.total_tokens_count) AS total_tokens_count,
    sum(h.total_tokens_sum) AS total_tokens_sum,
    min(h.total_tokens_min) AS total_tokens_min,
    max(h.total_tokens_max) AS total_tokens_max
FROM performance_metrics_hourly AS h
GROUP BY bucket, customer_id, service_id, service_type, model_name;

CREATE MATERIALIZED VIEW IF NOT EXISTS performance_metrics_to_hourly_summary TO performance_metrics_hourly_summary AS
SELECT
    h.bucket AS bucket,
    h.customer_id AS customer_id,
    h.model_name AS model_name,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.latency_ms_count) AS latency_ms_count,
    sum(h.latency_ms_sum) AS latency_ms_sum,
    min(h.latency_ms_min) AS latency_ms_min,
    max(h.latency_ms_max) AS latency_ms_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.latency_ms_sketch) AS latency_ms_sketch,
    sum(h.throughput_tokens_per_sec_count) AS throughput_tokens_per_sec_count,
    sum(h.throughput_tokens_per_sec_sum) AS throughput_tokens_per_sec_sum,
    min(h.throughput_tokens_per_sec_min) AS throughput_tokens_per_sec_min,
    max(h.throughput_tokens_per_sec_max) AS throughput_tokens_per_sec_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.throughput_tokens_per_sec_sketch) AS throughput_tokens_per_sec_sketch,
    sum(h.gpu_utilization_count) AS gpu_utilization_count,
    sum(h.gpu_utilization_sum) AS gpu_utilization_sum,
    min(h.gpu_utilization_min) AS gpu_utilization_min,
    max(h.gpu_utilization_max) AS gpu_utilization_max,
    sum(h.kv_cache_utilization_count) AS kv_cache_utilization_count,
    sum(h.kv_cache_utilization_sum) AS kv_cache_utilization_sum,
    min(h.kv_cache_utilization_min) AS kv_cache_utilization_min,
    max(h.kv_cache_utilization_max) AS kv_cache_utilization_max,
    sum(h.batch_size_count) AS batch_size_count,
    sum(h.batch_size_sum) AS batch_size_sum,
    min(h.batch_size_min) AS batch_size_min,
    max(h.batch_size_max) AS batch_size_max,
    sum(h.prompt_tokens_count) AS prompt_tokens_count,
    sum(h.prompt_tokens_sum) AS prompt_tokens_sum,
    min(h.prompt_tokens_min) AS prompt_tokens_min,
    max(h.prompt_tokens_max) AS prompt_tokens_max,
    sum(h.completion_tokens_count) AS completion_tokens_count,
    sum(h.completion_tokens_sum) AS completion_tokens_sum,
    min(h.completion_tokens_min) AS completion_tokens_min,
    max(h.completion_tokens_max) AS completion_tokens_max,
    sum(h.total_tokens_count) AS total_tokens_count,
    sum(h.total_tokens_sum) AS total_tokens_sum,
    min(h.total_tokens_min) AS total_tokens_min,
    max(h.total_tokens_max) AS total_tokens_max
FROM performance_metrics_hourly AS h
GROUP BY bucket, customer_id, model_name;

CREATE MATERIALIZED VIEW IF NOT EXISTS performance_metrics_to_daily_summary TO performance_metrics_daily_summary AS
SELECT
    toStartOfDay(h.bucket) AS bucket,
    h.customer_id AS customer_id,
    h.model_name AS model_name,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.latency_ms_count) AS latency_ms_count,
    sum(h.latency_ms_sum) AS latency_ms_sum,
    min(h.latency_ms_min) AS latency_ms_min,
    max(h.latency_ms_max) AS latency_ms_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.latency_ms_sketch) AS latency_ms_sketch,
    sum(h.throughput_tokens_per_sec_count) AS throughput_tokens_per_sec_count,
    sum(h.throughput_tokens_per_sec_sum) AS throughput_tokens_per_sec_sum,
    min(h.throughput_tokens_per_sec_min) AS throughput_tokens_per_sec_min,
    max(h.throughput_tokens_per_sec_max) AS throughput_tokens_per_sec_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.throughput_tokens_per_sec_sketch) AS throughput_tokens_per_sec_sketch,
    sum(h.gpu_utilization_count) AS gpu_utilization_count,
    sum(h.gpu_utilization_sum) AS gpu_utilization_sum,
    min(h.gpu_utilization_min) AS gpu_utilization_min,
    max(h.gpu_utilization_max) AS gpu_utilization_max,
    sum(h.kv_cache_utilization_count) AS kv_cache_utilization_count,
    sum(h.kv_cache_utilization_sum) AS kv_cache_utilization_sum,
    min(h.kv_cache_utilization_min) AS kv_cache_utilization_min,
    max(h.kv_cache_utilization_max) AS kv_cache_utilization_max,
    sum(h.batch_size_count) AS batch_size_count,
    sum(h.batch_size_sum) AS batch_size_sum,
    min(h.batch_size_min) AS batch_size_min,
    max(h.batch_size_max) AS batch_size_max,
    sum(h.prompt_tokens_count) AS prompt_tokens_count,
    sum(h.prompt_tokens_sum) AS prompt_tokens_sum,
    min(h.prompt_tokens_min) AS prompt_tokens_min,
    max(h.prompt_tokens_max) AS prompt_tokens_max,
    sum(h.completion_tokens_count) AS completion_tokens_count,
    sum(h.completion_tokens_sum) AS completion_tokens_sum,
    min(h.completion_tokens_min) AS completion_tokens_min,
    max(h.completion_tokens_max) AS completion_tokens_max,
    sum(h.total_tokens_count) AS total_tokens_count,
    sum(h.total_tokens_sum) AS total_tokens_sum,
    min(h.total_tokens_min) AS total_tokens_min,
    max(h.total_tokens_max) AS total_tokens_max
FROM performance_metrics_hourly_summary AS h
GROUP BY bucket, customer_id, model_name;

CREATE TABLE IF NOT EXISTS resource_metrics_ts
(
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    instance_id LowCardinality(String),
    instance_type LowCardinality(String),
    gpu_index Int16 DEFAULT -1 COMMENT '-1: a row of the instance, not of one GPU',
    gpu_utilization Nullable(Float64),
    gpu_memory_used_mb Nullable(Float64) COMMENT '10^6 bytes',
    gpu_memory_total_mb Nullable(Float64) COMMENT '10^6 bytes',
    gpu_temperature Nullable(Float64),
    cpu_utilization Nullable(Float64),
    memory_used_gb Nullable(Float64) COMMENT '10^9 bytes',
    memory_total_gb Nullable(Float64) COMMENT '10^9 bytes',
    network_rx_mbps Nullable(Float64) COMMENT '10^6 bits a second',
    network_tx_mbps Nullable(Float64) COMMENT '10^6 bits a second'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (customer_id, instance_id, gpu_index, timestamp)
TTL toDateTime(timestamp) + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS resource_metrics_hourly
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    instance_id LowCardinality(String),
    instance_type LowCardinality(String),
    gpu_index Int16 DEFAULT -1,
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    gpu_utilization_count SimpleAggregateFunction(sum, UInt64),
    gpu_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    gpu_utilization_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    gpu_memory_used_mb_count SimpleAggregateFunction(sum, UInt64),
    gpu_memory_used_mb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_memory_used_mb_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_memory_used_mb_max SimpleAggregateFunction(max, Nullable(Float64)),
    gpu_memory_total_mb_count SimpleAggregateFunction(sum, UInt64),
    gpu_memory_total_mb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_memory_total_mb_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_memory_total_mb_max SimpleAggregateFunction(max, Nullable(Float64)),
    gpu_temperature_count SimpleAggregateFunction(sum, UInt64),
    gpu_temperature_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_temperature_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_temperature_max SimpleAggregateFunction(max, Nullable(Float64)),
    cpu_utilization_count SimpleAggregateFunction(sum, UInt64),
    cpu_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    cpu_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    cpu_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    memory_used_gb_count SimpleAggregateFunction(sum, UInt64),
    memory_used_gb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    memory_used_gb_min SimpleAggregateFunction(min, Nullable(Float64)),
    memory_used_gb_max SimpleAggregateFunction(max, Nullable(Float64)),
    memory_total_gb_count SimpleAggregateFunction(sum, UInt64),
    memory_total_gb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    memory_total_gb_min SimpleAggregateFunction(min, Nullable(Float64)),
    memory_total_gb_max SimpleAggregateFunction(max, Nullable(Float64)),
    network_rx_mbps_count SimpleAggregateFunction(sum, UInt64),
    network_rx_mbps_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    network_rx_mbps_min SimpleAggregateFunction(min, Nullable(Float64)),
    network_rx_mbps_max SimpleAggregateFunction(max, Nullable(Float64)),
    network_tx_mbps_count SimpleAggregateFunction(sum, UInt64),
    network_tx_mbps_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    network_tx_mbps_min SimpleAggregateFunction(min, Nullable(Float64)),
    network_tx_mbps_max SimpleAggregateFunction(max, Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (customer_id, instance_id, instance_type, gpu_index, bucket)
TTL bucket + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS resource_metrics_daily
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    instance_id LowCardinality(String),
    instance_type LowCardinality(String),
    gpu_index Int16 DEFAULT -1,
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    gpu_utilization_count SimpleAggregateFunction(sum, UInt64),
    gpu_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    gpu_utilization_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    gpu_memory_used_mb_count SimpleAggregateFunction(sum, UInt64),
    gpu_memory_used_mb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_memory_used_mb_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_memory_used_mb_max SimpleAggregateFunction(max, Nullable(Float64)),
    gpu_memory_total_mb_count SimpleAggregateFunction(sum, UInt64),
    gpu_memory_total_mb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_memory_total_mb_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_memory_total_mb_max SimpleAggregateFunction(max, Nullable(Float64)),
    gpu_temperature_count SimpleAggregateFunction(sum, UInt64),
    gpu_temperature_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_temperature_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_temperature_max SimpleAggregateFunction(max, Nullable(Float64)),
    cpu_utilization_count SimpleAggregateFunction(sum, UInt64),
    cpu_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    cpu_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    cpu_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    memory_used_gb_count SimpleAggregateFunction(sum, UInt64),
    memory_used_gb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    memory_used_gb_min SimpleAggregateFunction(min, Nullable(Float64)),
    memory_used_gb_max SimpleAggregateFunction(max, Nullable(Float64)),
    memory_total_gb_count SimpleAggregateFunction(sum, UInt64),
    memory_total_gb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    memory_total_gb_min SimpleAggregateFunction(min, Nullable(Float64)),
    memory_total_gb_max SimpleAggregateFunction(max, Nullable(Float64)),
    network_rx_mbps_count SimpleAggregateFunction(sum, UInt64),
    network_rx_mbps_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    network_rx_mbps_min SimpleAggregateFunction(min, Nullable(Float64)),
    network_rx_mbps_max SimpleAggregateFunction(max, Nullable(Float64)),
    network_tx_mbps_count SimpleAggregateFunction(sum, UInt64),
    network_tx_mbps_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    network_tx_mbps_min SimpleAggregateFunction(min, Nullable(Float64)),
    network_tx_mbps_max SimpleAggregateFunction(max, Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(bucket)
ORDER BY (customer_id, instance_id, instance_type, gpu_index, bucket)
TTL bucket + INTERVAL 1830 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS resource_metrics_hourly_summary
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    instance_type LowCardinality(String),
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    gpu_utilization_count SimpleAggregateFunction(sum, UInt64),
    gpu_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    gpu_utilization_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    gpu_memory_used_mb_count SimpleAggregateFunction(sum, UInt64),
    gpu_memory_used_mb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_memory_used_mb_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_memory_used_mb_max SimpleAggregateFunction(max, Nullable(Float64)),
    gpu_memory_total_mb_count SimpleAggregateFunction(sum, UInt64),
    gpu_memory_total_mb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_memory_total_mb_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_memory_total_mb_max SimpleAggregateFunction(max, Nullable(Float64)),
    gpu_temperature_count SimpleAggregateFunction(sum, UInt64),
    gpu_temperature_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_temperature_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_temperature_max SimpleAggregateFunction(max, Nullable(Float64)),
    cpu_utilization_count SimpleAggregateFunction(sum, UInt64),
    cpu_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    cpu_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    cpu_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    memory_used_gb_count SimpleAggregateFunction(sum, UInt64),
    memory_used_gb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    memory_used_gb_min SimpleAggregateFunction(min, Nullable(Float64)),
    memory_used_gb_max SimpleAggregateFunction(max, Nullable(Float64)),
    memory_total_gb_count SimpleAggregateFunction(sum, UInt64),
    memory_total_gb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    memory_total_gb_min SimpleAggregateFunction(min, Nullable(Float64)),
    memory_total_gb_max SimpleAggregateFunction(max, Nullable(Float64)),
    network_rx_mbps_count SimpleAggregateFunction(sum, UInt64),
    network_rx_mbps_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    network_rx_mbps_min SimpleAggregateFunction(min, Nullable(Float64)),
    network_rx_mbps_max SimpleAggregateFunction(max, Nullable(Float64)),
    network_tx_mbps_count SimpleAggregateFunction(sum, UInt64),
    network_tx_mbps_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    network_tx_mbps_min SimpleAggregateFunction(min, Nullable(Float64)),
    network_tx_mbps_max SimpleAggregateFunction(max, Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (customer_id, instance_type, bucket)
TTL bucket + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS resource_metrics_daily_summary
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    instance_type LowCardinality(String),
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    gpu_utilization_count SimpleAggregateFunction(sum, UInt64),
    gpu_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    gpu_utilization_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    gpu_memory_used_mb_count SimpleAggregateFunction(sum, UInt64),
    gpu_memory_used_mb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_memory_used_mb_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_memory_used_mb_max SimpleAggregateFunction(max, Nullable(Float64)),
    gpu_memory_total_mb_count SimpleAggregateFunction(sum, UInt64),
    gpu_memory_total_mb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_memory_total_mb_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_memory_total_mb_max SimpleAggregateFunction(max, Nullable(Float64)),
    gpu_temperature_count SimpleAggregateFunction(sum, UInt64),
    gpu_temperature_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    gpu_temperature_min SimpleAggregateFunction(min, Nullable(Float64)),
    gpu_temperature_max SimpleAggregateFunction(max, Nullable(Float64)),
    cpu_utilization_count SimpleAggregateFunction(sum, UInt64),
    cpu_utilization_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    cpu_utilization_min SimpleAggregateFunction(min, Nullable(Float64)),
    cpu_utilization_max SimpleAggregateFunction(max, Nullable(Float64)),
    memory_used_gb_count SimpleAggregateFunction(sum, UInt64),
    memory_used_gb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    memory_used_gb_min SimpleAggregateFunction(min, Nullable(Float64)),
    memory_used_gb_max SimpleAggregateFunction(max, Nullable(Float64)),
    memory_total_gb_count SimpleAggregateFunction(sum, UInt64),
    memory_total_gb_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    memory_total_gb_min SimpleAggregateFunction(min, Nullable(Float64)),
    memory_total_gb_max SimpleAggregateFunction(max, Nullable(Float64)),
    network_rx_mbps_count SimpleAggregateFunction(sum, UInt64),
    network_rx_mbps_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    network_rx_mbps_min SimpleAggregateFunction(min, Nullable(Float64)),
    network_rx_mbps_max SimpleAggregateFunction(max, Nullable(Float64)),
    network_tx_mbps_count SimpleAggregateFunction(sum, UInt64),
    network_tx_mbps_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    network_tx_mbps_min SimpleAggregateFunction(min, Nullable(Float64)),
    network_tx_mbps_max SimpleAggregateFunction(max, Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(bucket)
ORDER BY (customer_id, instance_type, bucket)
TTL bucket + INTERVAL 1830 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE MATERIALIZED VIEW IF NOT EXISTS resource_metrics_to_hours TO resource_metrics_hourly AS
SELECT
    toStartOfHour(timestamp) AS bucket,
    customer_id,
    instance_id,
    instance_type,
    gpu_index,
    count() AS num_rows,
    min(timestamp) AS first_at,
    max(timestamp) AS last_at,
    count(gpu_utilization) AS gpu_utilization_count,
    ifNull(sum(toDecimal128(gpu_utilization, 9)), toDecimal128(0, 9)) AS gpu_utilization_sum,
    min(gpu_utilization) AS gpu_utilization_min,
    max(gpu_utilization) AS gpu_utilization_max,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(gpu_utilization) AS gpu_utilization_sketch,
    count(gpu_memory_used_mb) AS gpu_memory_used_mb_count,
    ifNull(sum(toDecimal128(gpu_memory_used_mb, 9)), toDecimal128(0, 9)) AS gpu_memory_used_mb_sum,
    min(gpu_memory_used_mb) AS gpu_memory_used_mb_min,
    max(gpu_memory_used_mb) AS gpu_memory_used_mb_max,
    count(gpu_memory_total_mb) AS gpu_memory_total_mb_count,
    ifNull(sum(toDecimal128(gpu_memory_total_mb, 9)), toDecimal128(0, 9)) AS gpu_memory_total_mb_sum,
    min(gpu_memory_total_mb) AS gpu_memory_total_mb_min,
    max(gpu_memory_total_mb) AS gpu_memory_total_mb_max,
    count(gpu_temperature) AS gpu_temperature_count,
    ifNull(sum(toDecimal128(gpu_temperature, 9)), toDecimal128(0, 9)) AS gpu_temperature_sum,
    min(gpu_temperature) AS gpu_temperature_min,
    max(gpu_temperature) AS gpu_temperature_max,
    count(cpu_utilization) AS cpu_utilization_count,
    ifNull(sum(toDecimal128(cpu_utilization, 9)), toDecimal128(0, 9)) AS cpu_utilization_sum,
    min(cpu_utilization) AS cpu_utilization_min,
    max(cpu_utilization) AS cpu_utilization_max,
    count(memory_used_gb) AS memory_used_gb_count,
    ifNull(sum(toDecimal128(memory_used_gb, 9)), toDecimal128(0, 9)) AS memory_used_gb_sum,
    min(memory_used_gb) AS memory_used_gb_min,
    max(memory_used_gb) AS memory_used_gb_max,
    count(memory_total_gb) AS memory_total_gb_count,
    ifNull(sum(toDecimal128(memory_total_gb, 9)), toDecimal128(0, 9)) AS memory_total_gb_sum,
    min(memory_total_gb) AS memory_total_gb_min,
    max(memory_total_gb) AS memory_total_gb_max,
    count(network_rx_mbps) AS network_rx_mbps_count,
    ifNull(sum(toDecimal128(network_rx_mbps, 9)), toDecimal128(0, 9)) AS network_rx_mbps_sum,
    min(network_rx_mbps) AS network_rx_mbps_min,
    max(network_rx_mbps) AS network_rx_mbps_max,
    count(network_tx_mbps) AS network_tx_mbps_count,
    ifNull(sum(toDecimal128(network_tx_mbps, 9)), toDecimal128(0, 9)) AS network_tx_mbps_sum,
    min(network_tx_mbps) AS network_tx_mbps_min,
    max(network_tx_mbps) AS network_tx_mbps_max
FROM resource_metrics_ts
GROUP BY bucket, customer_id, instance_id, instance_type, gpu_index;

CREATE MATERIALIZED VIEW IF NOT EXISTS resource_metrics_to_days TO resource_metrics_daily AS
SELECT
    toStartOfDay(h.bucket) AS bucket,
    h.customer_id AS customer_id,
    h.instance_id AS instance_id,
    h.instance_type AS instance_type,
    h.gpu_index AS gpu_index,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.gpu_utilization_count) AS gpu_utilization_count,
    sum(h.gpu_utilization_sum) AS gpu_utilization_sum,
    min(h.gpu_utilization_min) AS gpu_utilization_min,
    max(h.gpu_utilization_max) AS gpu_utilization_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.gpu_utilization_sketch) AS gpu_utilization_sketch,
    sum(h.gpu_memory_used_mb_count) AS gpu_memory_used_mb_count,
    sum(h.gpu_memory_used_mb_sum) AS gpu_memory_used_mb_sum,
    min(h.gpu_memory_used_mb_min) AS gpu_memory_used_mb_min,
    max(h.gpu_memory_used_mb_max) AS gpu_memory_used_mb_max,
    sum(h.gpu_memory_total_mb_count) AS gpu_memory_total_mb_count,
    sum(h.gpu_memory_total_mb_sum) AS gpu_memory_total_mb_sum,
    min(h.gpu_memory_total_mb_min) AS gpu_memory_total_mb_min,
    max(h.gpu_memory_total_mb_max) AS gpu_memory_total_mb_max,
    sum(h.gpu_temperature_count) AS gpu_temperature_count,
    sum(h.gpu_temperature_sum) AS gpu_temperature_sum,
    min(h.gpu_temperature_min) AS gpu_temperature_min,
    max(h.gpu_temperature_max) AS gpu_temperature_max,
    sum(h.cpu_utilization_count) AS cpu_utilization_count,
    sum(h.cpu_utilization_sum) AS cpu_utilization_sum,
    min(h.cpu_utilization_min) AS cpu_utilization_min,
    max(h.cpu_utilization_max) AS cpu_utilization_max,
    sum(h.memory_used_gb_count) AS memory_used_gb_count,
    sum(h.memory_used_gb_sum) AS memory_used_gb_sum,
    min(h.memory_used_gb_min) AS memory_used_gb_min,
    max(h.memory_used_gb_max) AS memory_used_gb_max,
    sum(h.memory_total_gb_count) AS memory_total_gb_count,
    sum(h.memory_total_gb_sum) AS memory_total_gb_sum,
    min(h.memory_total_gb_min) AS memory_total_gb_min,
    max(h.memory_total_gb_max) AS memory_total_gb_max,
    sum(h.network_rx_mbps_count) AS network_rx_mbps_count,
    sum(h.network_rx_mbps_sum) AS network_rx_mbps_sum,
    min(h.network_rx_mbps_min) AS network_rx_mbps_min,
    max(h.network_rx_mbps_max) AS network_rx_mbps_max,
    sum(h.network_tx_mbps_count) AS network_tx_mbps_count,
    sum(h.network_tx_mbps_sum) AS network_tx_mbps_sum,
    min(h.network_tx_mbps_min) AS network_tx_mbps_min,
    max(h.network_tx_mbps_max) AS network_tx_mbps_max
FROM resource_metrics_hourly AS h
GROUP BY bucket, customer_id, instance_id, instance_type, gpu_index;

CREATE MATERIALIZED VIEW IF NOT EXISTS resource_metrics_to_hourly_summary TO resource_metrics_hourly_summary AS
SELECT
    h.bucket AS bucket,
    h.customer_id AS customer_id,
    h.instance_type AS instance_type,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.gpu_utilization_count) AS gpu_utilization_count,
    sum(h.gpu_utilization_sum) AS gpu_utilization_sum,
    min(h.gpu_utilization_min) AS gpu_utilization_min,
    max(h.gpu_utilization_max) AS gpu_utilization_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.gpu_utilization_sketch) AS gpu_utilization_sketch,
    sum(h.gpu_memory_used_mb_count) AS gpu_memory_used_mb_count,
    sum(h.gpu_memory_used_mb_sum) AS gpu_memory_used_mb_sum,
    min(h.gpu_memory_used_mb_min) AS gpu_memory_used_mb_min,
    max(h.gpu_memory_used_mb_max) AS gpu_memory_used_mb_max,
    sum(h.gpu_memory_total_mb_count) AS gpu_memory_total_mb_count,
    sum(h.gpu_memory_total_mb_sum) AS gpu_memory_total_mb_sum,
    min(h.gpu_memory_total_mb_min) AS gpu_memory_total_mb_min,
    max(h.gpu_memory_total_mb_max) AS gpu_memory_total_mb_max,
    sum(h.gpu_temperature_count) AS gpu_temperature_count,
    sum(h.gpu_temperature_sum) AS gpu_temperature_sum,
    min(h.gpu_temperature_min) AS gpu_temperature_min,
    max(h.gpu_temperature_max) AS gpu_temperature_max,
    sum(h.cpu_utilization_count) AS cpu_utilization_count,
    sum(h.cpu_utilization_sum) AS cpu_utilization_sum,
    min(h.cpu_utilization_min) AS cpu_utilization_min,
    max(h.cpu_utilization_max) AS cpu_utilization_max,
    sum(h.memory_used_gb_count) AS memory_used_gb_count,
    sum(h.memory_used_gb_sum) AS memory_used_gb_sum,
    min(h.memory_used_gb_min) AS memory_used_gb_min,
    max(h.memory_used_gb_max) AS memory_used_gb_max,
    sum(h.memory_total_gb_count) AS memory_total_gb_count,
    sum(h.memory_total_gb_sum) AS memory_total_gb_sum,
    min(h.memory_total_gb_min) AS memory_total_gb_min,
    max(h.memory_total_gb_max) AS memory_total_gb_max,
    sum(h.network_rx_mbps_count) AS network_rx_mbps_count,
    sum(h.network_rx_mbps_sum) AS network_rx_mbps_sum,
    min(h.network_rx_mbps_min) AS network_rx_mbps_min,
    max(h.network_rx_mbps_max) AS network_rx_mbps_max,
    sum(h.network_tx_mbps_count) AS network_tx_mbps_count,
    sum(h.network_tx_mbps_sum) AS network_tx_mbps_sum,
    min(h.network_tx_mbps_min) AS network_tx_mbps_min,
    max(h.network_tx_mbps_max) AS network_tx_mbps_max
FROM resource_metrics_hourly AS h
GROUP BY bucket, customer_id, instance_type;

CREATE MATERIALIZED VIEW IF NOT EXISTS resource_metrics_to_daily_summary TO resource_metrics_daily_summary AS
SELECT
    toStartOfDay(h.bucket) AS bucket,
    h.customer_id AS customer_id,
    h.instance_type AS instance_type,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.gpu_utilization_count) AS gpu_utilization_count,
    sum(h.gpu_utilization_sum) AS gpu_utilization_sum,
    min(h.gpu_utilization_min) AS gpu_utilization_min,
    max(h.gpu_utilization_max) AS gpu_utilization_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.gpu_utilization_sketch) AS gpu_utilization_sketch,
    sum(h.gpu_memory_used_mb_count) AS gpu_memory_used_mb_count,
    sum(h.gpu_memory_used_mb_sum) AS gpu_memory_used_mb_sum,
    min(h.gpu_memory_used_mb_min) AS gpu_memory_used_mb_min,
    max(h.gpu_memory_used_mb_max) AS gpu_memory_used_mb_max,
    sum(h.gpu_memory_total_mb_count) AS gpu_memory_total_mb_count,
    sum(h.gpu_memory_total_mb_sum) AS gpu_memory_total_mb_sum,
    min(h.gpu_memory_total_mb_min) AS gpu_memory_total_mb_min,
    max(h.gpu_memory_total_mb_max) AS gpu_memory_total_mb_max,
    sum(h.gpu_temperature_count) AS gpu_temperature_count,
    sum(h.gpu_temperature_sum) AS gpu_temperature_sum,
    min(h.gpu_temperature_min) AS gpu_temperature_min,
    max(h.gpu_temperature_max) AS gpu_temperature_max,
    sum(h.cpu_utilization_count) AS cpu_utilization_count,
    sum(h.cpu_utilization_sum) AS cpu_utilization_sum,
    min(h.cpu_utilization_min) AS cpu_utilization_min,
    max(h.cpu_utilization_max) AS cpu_utilization_max,
    sum(h.memory_used_gb_count) AS memory_used_gb_count,
    sum(h.memory_used_gb_sum) AS memory_used_gb_sum,
    min(h.memory_used_gb_min) AS memory_used_gb_min,
    max(h.memory_used_gb_max) AS memory_used_gb_max,
    sum(h.memory_total_gb_count) AS memory_total_gb_count,
    sum(h.memory_total_gb_sum) AS memory_total_gb_sum,
    min(h.memory_total_gb_min) AS memory_total_gb_min,
    max(h.memory_total_gb_max) AS memory_total_gb_max,
    sum(h.network_rx_mbps_count) AS network_rx_mbps_count,
    sum(h.network_rx_mbps_sum) AS network_rx_mbps_sum,
    min(h.network_rx_mbps_min) AS network_rx_mbps_min,
    max(h.network_rx_mbps_max) AS network_rx_mbps_max,
    sum(h.network_tx_mbps_count) AS network_tx_mbps_count,
    sum(h.network_tx_mbps_sum) AS network_tx_mbps_sum,
    min(h.network_tx_mbps_min) AS network_tx_mbps_min,
    max(h.network_tx_mbps_max) AS network_tx_mbps_max
FROM resource_metrics_hourly_summary AS h
GROUP BY bucket, customer_id, instance_type;

CREATE TABLE IF NOT EXISTS quality_metrics_ts
(
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    service_id LowCardinality(String),
    model_name LowCardinality(String),
    request_id String,
    prompt_hash String,
    relevance Nullable(Float64),
    coherence Nullable(Float64),
    factuality Nullable(Float64),
    hallucination_detected Nullable(UInt64) CODEC(T64, LZ4),
    toxicity Nullable(Float64),
    overall_quality_score Nullable(Float64),
    latency_ms Nullable(Float64)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (customer_id, service_id, model_name, timestamp)
TTL toDateTime(timestamp) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS quality_metrics_hourly
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    service_id LowCardinality(String),
    model_name LowCardinality(String),
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    relevance_count SimpleAggregateFunction(sum, UInt64),
    relevance_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    relevance_min SimpleAggregateFunction(min, Nullable(Float64)),
    relevance_max SimpleAggregateFunction(max, Nullable(Float64)),
    coherence_count SimpleAggregateFunction(sum, UInt64),
    coherence_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    coherence_min SimpleAggregateFunction(min, Nullable(Float64)),
    coherence_max SimpleAggregateFunction(max, Nullable(Float64)),
    factuality_count SimpleAggregateFunction(sum, UInt64),
    factuality_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    factuality_min SimpleAggregateFunction(min, Nullable(Float64)),
    factuality_max SimpleAggregateFunction(max, Nullable(Float64)),
    hallucination_detected_count SimpleAggregateFunction(sum, UInt64),
    hallucination_detected_sum SimpleAggregateFunction(sum, UInt64),
    hallucination_detected_min SimpleAggregateFunction(min, Nullable(UInt64)),
    hallucination_detected_max SimpleAggregateFunction(max, Nullable(UInt64)),
    toxicity_count SimpleAggregateFunction(sum, UInt64),
    toxicity_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    toxicity_min SimpleAggregateFunction(min, Nullable(Float64)),
    toxicity_max SimpleAggregateFunction(max, Nullable(Float64)),
    overall_quality_score_count SimpleAggregateFunction(sum, UInt64),
    overall_quality_score_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    overall_quality_score_min SimpleAggregateFunction(min, Nullable(Float64)),
    overall_quality_score_max SimpleAggregateFunction(max, Nullable(Float64)),
    overall_quality_score_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    latency_ms_count SimpleAggregateFunction(sum, UInt64),
    latency_ms_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    latency_ms_min SimpleAggregateFunction(min, Nullable(Float64)),
    latency_ms_max SimpleAggregateFunction(max, Nullable(Float64)),
    latency_ms_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (customer_id, service_id, model_name, bucket)
TTL bucket + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS quality_metrics_daily
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    service_id LowCardinality(String),
    model_name LowCardinality(String),
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    relevance_count SimpleAggregateFunction(sum, UInt64),
    relevance_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    relevance_min SimpleAggregateFunction(min, Nullable(Float64)),
    relevance_max SimpleAggregateFunction(max, Nullable(Float64)),
    coherence_count SimpleAggregateFunction(sum, UInt64),
    coherence_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    coherence_min SimpleAggregateFunction(min, Nullable(Float64)),
    coherence_max SimpleAggregateFunction(max, Nullable(Float64)),
    factuality_count SimpleAggregateFunction(sum, UInt64),
    factuality_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    factuality_min SimpleAggregateFunction(min, Nullable(Float64)),
    factuality_max SimpleAggregateFunction(max, Nullable(Float64)),
    hallucination_detected_count SimpleAggregateFunction(sum, UInt64),
    hallucination_detected_sum SimpleAggregateFunction(sum, UInt64),
    hallucination_detected_min SimpleAggregateFunction(min, Nullable(UInt64)),
    hallucination_detected_max SimpleAggregateFunction(max, Nullable(UInt64)),
    toxicity_count SimpleAggregateFunction(sum, UInt64),
    toxicity_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    toxicity_min SimpleAggregateFunction(min, Nullable(Float64)),
    toxicity_max SimpleAggregateFunction(max, Nullable(Float64)),
    overall_quality_score_count SimpleAggregateFunction(sum, UInt64),
    overall_quality_score_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    overall_quality_score_min SimpleAggregateFunction(min, Nullable(Float64)),
    overall_quality_score_max SimpleAggregateFunction(max, Nullable(Float64)),
    overall_quality_score_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    latency_ms_count SimpleAggregateFunction(sum, UInt64),
    latency_ms_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    latency_ms_min SimpleAggregateFunction(min, Nullable(Float64)),
    latency_ms_max SimpleAggregateFunction(max, Nullable(Float64)),
    latency_ms_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(bucket)
ORDER BY (customer_id, service_id, model_name, bucket)
TTL bucket + INTERVAL 1830 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS quality_metrics_hourly_summary
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    model_name LowCardinality(String),
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    relevance_count SimpleAggregateFunction(sum, UInt64),
    relevance_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    relevance_min SimpleAggregateFunction(min, Nullable(Float64)),
    relevance_max SimpleAggregateFunction(max, Nullable(Float64)),
    coherence_count SimpleAggregateFunction(sum, UInt64),
    coherence_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    coherence_min SimpleAggregateFunction(min, Nullable(Float64)),
    coherence_max SimpleAggregateFunction(max, Nullable(Float64)),
    factuality_count SimpleAggregateFunction(sum, UInt64),
    factuality_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    factuality_min SimpleAggregateFunction(min, Nullable(Float64)),
    factuality_max SimpleAggregateFunction(max, Nullable(Float64)),
    hallucination_detected_count SimpleAggregateFunction(sum, UInt64),
    hallucination_detected_sum SimpleAggregateFunction(sum, UInt64),
    hallucination_detected_min SimpleAggregateFunction(min, Nullable(UInt64)),
    hallucination_detected_max SimpleAggregateFunction(max, Nullable(UInt64)),
    toxicity_count SimpleAggregateFunction(sum, UInt64),
    toxicity_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    toxicity_min SimpleAggregateFunction(min, Nullable(Float64)),
    toxicity_max SimpleAggregateFunction(max, Nullable(Float64)),
    overall_quality_score_count SimpleAggregateFunction(sum, UInt64),
    overall_quality_score_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    overall_quality_score_min SimpleAggregateFunction(min, Nullable(Float64)),
    overall_quality_score_max SimpleAggregateFunction(max, Nullable(Float64)),
    overall_quality_score_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    latency_ms_count SimpleAggregateFunction(sum, UInt64),
    latency_ms_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    latency_ms_min SimpleAggregateFunction(min, Nullable(Float64)),
    latency_ms_max SimpleAggregateFunction(max, Nullable(Float64)),
    latency_ms_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (customer_id, model_name, bucket)
TTL bucket + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS quality_metrics_daily_summary
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    model_name LowCardinality(String),
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    relevance_count SimpleAggregateFunction(sum, UInt64),
    relevance_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    relevance_min SimpleAggregateFunction(min, Nullable(Float64)),
    relevance_max SimpleAggregateFunction(max, Nullable(Float64)),
    coherence_count SimpleAggregateFunction(sum, UInt64),
    coherence_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    coherence_min SimpleAggregateFunction(min, Nullable(Float64)),
    coherence_max SimpleAggregateFunction(max, Nullable(Float64)),
    factuality_count SimpleAggregateFunction(sum, UInt64),
    factuality_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    factuality_min SimpleAggregateFunction(min, Nullable(Float64)),
    factuality_max SimpleAggregateFunction(max, Nullable(Float64)),
    hallucination_detected_count SimpleAggregateFunction(sum, UInt64),
    hallucination_detected_sum SimpleAggregateFunction(sum, UInt64),
    hallucination_detected_min SimpleAggregateFunction(min, Nullable(UInt64)),
    hallucination_detected_max SimpleAggregateFunction(max, Nullable(UInt64)),
    toxicity_count SimpleAggregateFunction(sum, UInt64),
    toxicity_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    toxicity_min SimpleAggregateFunction(min, Nullable(Float64)),
    toxicity_max SimpleAggregateFunction(max, Nullable(Float64)),
    overall_quality_score_count SimpleAggregateFunction(sum, UInt64),
    overall_quality_score_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    overall_quality_score_min SimpleAggregateFunction(min, Nullable(Float64)),
    overall_quality_score_max SimpleAggregateFunction(max, Nullable(Float64)),
    overall_quality_score_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64)),
    latency_ms_count SimpleAggregateFunction(sum, UInt64),
    latency_ms_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    latency_ms_min SimpleAggregateFunction(min, Nullable(Float64)),
    latency_ms_max SimpleAggregateFunction(max, Nullable(Float64)),
    latency_ms_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(bucket)
ORDER BY (customer_id, model_name, bucket)
TTL bucket + INTERVAL 1830 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE MATERIALIZED VIEW IF NOT EXISTS quality_metrics_to_hours TO quality_metrics_hourly AS
SELECT
    toStartOfHour(timestamp) AS bucket,
    customer_id,
    service_id,
    model_name,
    count() AS num_rows,
    min(timestamp) AS first_at,
    max(timestamp) AS last_at,
    count(relevance) AS relevance_count,
    ifNull(sum(toDecimal128(relevance, 9)), toDecimal128(0, 9)) AS relevance_sum,
    min(relevance) AS relevance_min,
    max(relevance) AS relevance_max,
    count(coherence) AS coherence_count,
    ifNull(sum(toDecimal128(coherence, 9)), toDecimal128(0, 9)) AS coherence_sum,
    min(coherence) AS coherence_min,
    max(coherence) AS coherence_max,
    count(factuality) AS factuality_count,
    ifNull(sum(toDecimal128(factuality, 9)), toDecimal128(0, 9)) AS factuality_sum,
    min(factuality) AS factuality_min,
    max(factuality) AS factuality_max,
    count(hallucination_detected) AS hallucination_detected_count,
    ifNull(sum(hallucination_detected), 0) AS hallucination_detected_sum,
    min(hallucination_detected) AS hallucination_detected_min,
    max(hallucination_detected) AS hallucination_detected_max,
    count(toxicity) AS toxicity_count,
    ifNull(sum(toDecimal128(toxicity, 9)), toDecimal128(0, 9)) AS toxicity_sum,
    min(toxicity) AS toxicity_min,
    max(toxicity) AS toxicity_max,
    count(overall_quality_score) AS overall_quality_score_count,
    ifNull(sum(toDecimal128(overall_quality_score, 9)), toDecimal128(0, 9)) AS overall_quality_score_sum,
    min(overall_quality_score) AS overall_quality_score_min,
    max(overall_quality_score) AS overall_quality_score_max,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(overall_quality_score) AS overall_quality_score_sketch,
    count(latency_ms) AS latency_ms_count,
    ifNull(sum(toDecimal128(latency_ms, 9)), toDecimal128(0, 9)) AS latency_ms_sum,
    min(latency_ms) AS latency_ms_min,
    max(latency_ms) AS latency_ms_max,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(latency_ms) AS latency_ms_sketch
FROM quality_metrics_ts
GROUP BY bucket, customer_id, service_id, model_name;

CREATE MATERIALIZED VIEW IF NOT EXISTS quality_metrics_to_days TO quality_metrics_daily AS
SELECT
    toStartOfDay(h.bucket) AS bucket,
    h.customer_id AS customer_id,
    h.service_id AS service_id,
    h.model_name AS model_name,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.relevance_count) AS relevance_count,
    sum(h.relevance_sum) AS relevance_sum,
    min(h.relevance_min) AS relevance_min,
    max(h.relevance_max) AS relevance_max,
    sum(h.coherence_count) AS coherence_count,
    sum(h.coherence_sum) AS coherence_sum,
    min(h.coherence_min) AS coherence_min,
    max(h.coherence_max) AS coherence_max,
    sum(h.factuality_count) AS factuality_count,
    sum(h.factuality_sum) AS factuality_sum,
    min(h.factuality_min) AS factuality_min,
    max(h.factuality_max) AS factuality_max,
    sum(h.hallucination_detected_count) AS hallucination_detected_count,
    sum(h.hallucination_detected_sum) AS hallucination_detected_sum,
    min(h.hallucination_detected_min) AS hallucination_detected_min,
    max(h.hallucination_detected_max) AS hallucination_detected_max,
    sum(h.toxicity_count) AS toxicity_count,
    sum(h.toxicity_sum) AS toxicity_sum,
    min(h.toxicity_min) AS toxicity_min,
    max(h.toxicity_max) AS toxicity_max,
    sum(h.overall_quality_score_count) AS overall_quality_score_count,
    sum(h.overall_quality_score_sum) AS overall_quality_score_sum,
    min(h.overall_quality_score_min) AS overall_quality_score_min,
    max(h.overall_quality_score_max) AS overall_quality_score_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.overall_quality_score_sketch) AS overall_quality_score_sketch,
    sum(h.latency_ms_count) AS latency_ms_count,
    sum(h.latency_ms_sum) AS latency_ms_sum,
    min(h.latency_ms_min) AS latency_ms_min,
    max(h.latency_ms_max) AS latency_ms_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.latency_ms_sketch) AS latency_ms_sketch
FROM quality_metrics_hourly AS h
GROUP BY bucket, customer_id, service_id, model_name;

CREATE MATERIALIZED VIEW IF NOT EXISTS quality_metrics_to_hourly_summary TO quality_metrics_hourly_summary AS
SELECT
    h.bucket AS bucket,
    h.customer_id AS customer_id,
    h.model_name AS model_name,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.relevance_count) AS relevance_count,
    sum(h.relevance_sum) AS relevance_sum,
    min(h.relevance_min) AS relevance_min,
    max(h.relevance_max) AS relevance_max,
    sum(h.coherence_count) AS coherence_count,
    sum(h.coherence_sum) AS coherence_sum,
    min(h.coherence_min) AS coherence_min,
    max(h.coherence_max) AS coherence_max,
    sum(h.factuality_count) AS factuality_count,
    sum(h.factuality_sum) AS factuality_sum,
    min(h.factuality_min) AS factuality_min,
    max(h.factuality_max) AS factuality_max,
    sum(h.hallucination_detected_count) AS hallucination_detected_count,
    sum(h.hallucination_detected_sum) AS hallucination_detected_sum,
    min(h.hallucination_detected_min) AS hallucination_detected_min,
    max(h.hallucination_detected_max) AS hallucination_detected_max,
    sum(h.toxicity_count) AS toxicity_count,
    sum(h.toxicity_sum) AS toxicity_sum,
    min(h.toxicity_min) AS toxicity_min,
    max(h.toxicity_max) AS toxicity_max,
    sum(h.overall_quality_score_count) AS overall_quality_score_count,
    sum(h.overall_quality_score_sum) AS overall_quality_score_sum,
    min(h.overall_quality_score_min) AS overall_quality_score_min,
    max(h.overall_quality_score_max) AS overall_quality_score_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.overall_quality_score_sketch) AS overall_quality_score_sketch,
    sum(h.latency_ms_count) AS latency_ms_count,
    sum(h.latency_ms_sum) AS latency_ms_sum,
    min(h.latency_ms_min) AS latency_ms_min,
    max(h.latency_ms_max) AS latency_ms_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.latency_ms_sketch) AS latency_ms_sketch
FROM quality_metrics_hourly AS h
GROUP BY bucket, customer_id, model_name;

CREATE MATERIALIZED VIEW IF NOT EXISTS quality_metrics_to_daily_summary TO quality_metrics_daily_summary AS
SELECT
    toStartOfDay(h.bucket) AS bucket,
    h.customer_id AS customer_id,
    h.model_name AS model_name,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.relevance_count) AS relevance_count,
    sum(h.relevance_sum) AS relevance_sum,
    min(h.relevance_min) AS relevance_min,
    max(h.relevance_max) AS relevance_max,
    sum(h.coherence_count) AS coherence_count,
    sum(h.coherence_sum) AS coherence_sum,
    min(h.coherence_min) AS coherence_min,
    max(h.coherence_max) AS coherence_max,
    sum(h.factuality_count) AS factuality_count,
    sum(h.factuality_sum) AS factuality_sum,
    min(h.factuality_min) AS factuality_min,
    max(h.factuality_max) AS factuality_max,
    sum(h.hallucination_detected_count) AS hallucination_detected_count,
    sum(h.hallucination_detected_sum) AS hallucination_detected_sum,
    min(h.hallucination_detected_min) AS hallucination_detected_min,
    max(h.hallucination_detected_max) AS hallucination_detected_max,
    sum(h.toxicity_count) AS toxicity_count,
    sum(h.toxicity_sum) AS toxicity_sum,
    min(h.toxicity_min) AS toxicity_min,
    max(h.toxicity_max) AS toxicity_max,
    sum(h.overall_quality_score_count) AS overall_quality_score_count,
    sum(h.overall_quality_score_sum) AS overall_quality_score_sum,
    min(h.overall_quality_score_min) AS overall_quality_score_min,
    max(h.overall_quality_score_max) AS overall_quality_score_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.overall_quality_score_sketch) AS overall_quality_score_sketch,
    sum(h.latency_ms_count) AS latency_ms_count,
    sum(h.latency_ms_sum) AS latency_ms_sum,
    min(h.latency_ms_min) AS latency_ms_min,
    max(h.latency_ms_max) AS latency_ms_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.latency_ms_sketch) AS latency_ms_sketch
FROM quality_metrics_hourly_summary AS h
GROUP BY bucket, customer_id, model_name;

CREATE TABLE IF NOT EXISTS metric_samples_ts
(
    timestamp DateTime64(3, 'UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    metric LowCardinality(String),
    kind LowCardinality(String),
    deployment_id LowCardinality(String),
    instance_id LowCardinality(String),
    target LowCardinality(String),
    labels String COMMENT 'as JSON, sorted by name',
    value Nullable(Float64) COMMENT 'in the unit that the name of the metric says'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (customer_id, metric, deployment_id, instance_id, timestamp)
TTL toDateTime(timestamp) + INTERVAL 30 DAY
SETTINGS non_replicated_deduplication_window = 10000;

CREATE TABLE IF NOT EXISTS metric_samples_hourly
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    metric LowCardinality(String),
    kind LowCardinality(String),
    deployment_id LowCardinality(String),
    instance_id LowCardinality(String),
    target LowCardinality(String),
    labels String,
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    value_count SimpleAggregateFunction(sum, UInt64),
    value_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    value_min SimpleAggregateFunction(min, Nullable(Float64)),
    value_max SimpleAggregateFunction(max, Nullable(Float64)),
    value_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (customer_id, metric, kind, deployment_id, instance_id, target, labels, bucket)
TTL bucket + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS metric_samples_daily
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    metric LowCardinality(String),
    kind LowCardinality(String),
    deployment_id LowCardinality(String),
    instance_id LowCardinality(String),
    target LowCardinality(String),
    labels String,
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    value_count SimpleAggregateFunction(sum, UInt64),
    value_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    value_min SimpleAggregateFunction(min, Nullable(Float64)),
    value_max SimpleAggregateFunction(max, Nullable(Float64)),
    value_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(bucket)
ORDER BY (customer_id, metric, kind, deployment_id, instance_id, target, labels, bucket)
TTL bucket + INTERVAL 1830 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS metric_samples_hourly_summary
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    metric LowCardinality(String),
    kind LowCardinality(String),
    deployment_id LowCardinality(String),
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    value_count SimpleAggregateFunction(sum, UInt64),
    value_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    value_min SimpleAggregateFunction(min, Nullable(Float64)),
    value_max SimpleAggregateFunction(max, Nullable(Float64)),
    value_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(bucket)
ORDER BY (customer_id, metric, kind, deployment_id, bucket)
TTL bucket + INTERVAL 400 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE TABLE IF NOT EXISTS metric_samples_daily_summary
(
    bucket DateTime('UTC') CODEC(DoubleDelta, LZ4),
    customer_id UUID,
    metric LowCardinality(String),
    kind LowCardinality(String),
    deployment_id LowCardinality(String),
    num_rows SimpleAggregateFunction(sum, UInt64),
    first_at SimpleAggregateFunction(min, DateTime64(3, 'UTC')),
    last_at SimpleAggregateFunction(max, DateTime64(3, 'UTC')),
    value_count SimpleAggregateFunction(sum, UInt64),
    value_sum SimpleAggregateFunction(sum, Decimal(38, 9)),
    value_min SimpleAggregateFunction(min, Nullable(Float64)),
    value_max SimpleAggregateFunction(max, Nullable(Float64)),
    value_sketch AggregateFunction(quantilesDD(0.01, 0.5, 0.9, 0.95, 0.99, 0.999), Nullable(Float64))
)
ENGINE = AggregatingMergeTree
PARTITION BY toYear(bucket)
ORDER BY (customer_id, metric, kind, deployment_id, bucket)
TTL bucket + INTERVAL 1830 DAY
SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 256;

CREATE MATERIALIZED VIEW IF NOT EXISTS metric_samples_to_hours TO metric_samples_hourly AS
SELECT
    toStartOfHour(timestamp) AS bucket,
    customer_id,
    metric,
    kind,
    deployment_id,
    instance_id,
    target,
    labels,
    count() AS num_rows,
    min(timestamp) AS first_at,
    max(timestamp) AS last_at,
    count(value) AS value_count,
    ifNull(sum(toDecimal128(value, 9)), toDecimal128(0, 9)) AS value_sum,
    min(value) AS value_min,
    max(value) AS value_max,
    quantilesDDState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(value) AS value_sketch
FROM metric_samples_ts
GROUP BY bucket, customer_id, metric, kind, deployment_id, instance_id, target, labels;

CREATE MATERIALIZED VIEW IF NOT EXISTS metric_samples_to_days TO metric_samples_daily AS
SELECT
    toStartOfDay(h.bucket) AS bucket,
    h.customer_id AS customer_id,
    h.metric AS metric,
    h.kind AS kind,
    h.deployment_id AS deployment_id,
    h.instance_id AS instance_id,
    h.target AS target,
    h.labels AS labels,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.value_count) AS value_count,
    sum(h.value_sum) AS value_sum,
    min(h.value_min) AS value_min,
    max(h.value_max) AS value_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.value_sketch) AS value_sketch
FROM metric_samples_hourly AS h
GROUP BY bucket, customer_id, metric, kind, deployment_id, instance_id, target, labels;

CREATE MATERIALIZED VIEW IF NOT EXISTS metric_samples_to_hourly_summary TO metric_samples_hourly_summary AS
SELECT
    h.bucket AS bucket,
    h.customer_id AS customer_id,
    h.metric AS metric,
    h.kind AS kind,
    h.deployment_id AS deployment_id,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.value_count) AS value_count,
    sum(h.value_sum) AS value_sum,
    min(h.value_min) AS value_min,
    max(h.value_max) AS value_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.value_sketch) AS value_sketch
FROM metric_samples_hourly AS h
GROUP BY bucket, customer_id, metric, kind, deployment_id;

CREATE MATERIALIZED VIEW IF NOT EXISTS metric_samples_to_daily_summary TO metric_samples_daily_summary AS
SELECT
    toStartOfDay(h.bucket) AS bucket,
    h.customer_id AS customer_id,
    h.metric AS metric,
    h.kind AS kind,
    h.deployment_id AS deployment_id,
    sum(h.num_rows) AS num_rows,
    min(h.first_at) AS first_at,
    max(h.last_at) AS last_at,
    sum(h.value_count) AS value_count,
    sum(h.value_sum) AS value_sum,
    min(h.value_min) AS value_min,
    max(h.value_max) AS value_max,
    quantilesDDMergeState(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(h.value_sketch) AS value_sketch
FROM metric_samples_hourly_summary AS h
GROUP BY bucket, customer_id, metric, kind, deployment_id;

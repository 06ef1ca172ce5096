-- The four analytics of the specification, as views over the rollups: what they show is materialised there.
-- Quantiles are within 1 % of the value. A mean is null where nothing was measured.

CREATE VIEW IF NOT EXISTS system_metrics AS
SELECT
    r.bucket AS hour,
    r.customer_id AS customer_id,
    r.instance_id AS instance_id,
    r.instance_type AS instance_type,
    r.gpu_index AS gpu_index,
    sum(r.num_rows) AS num_samples,
    toFloat64(sum(r.gpu_utilization_sum)) / nullIf(sum(r.gpu_utilization_count), 0) AS gpu_utilization_mean,
    max(r.gpu_utilization_max) AS gpu_utilization_peak,
    toFloat64(sum(r.gpu_memory_used_mb_sum)) / nullIf(sum(r.gpu_memory_used_mb_count), 0) AS gpu_memory_used_mb_mean,
    max(r.gpu_memory_used_mb_max) AS gpu_memory_used_mb_peak,
    max(r.gpu_memory_total_mb_max) AS gpu_memory_total_mb,
    max(r.gpu_temperature_max) AS gpu_temperature_peak,
    toFloat64(sum(r.cpu_utilization_sum)) / nullIf(sum(r.cpu_utilization_count), 0) AS cpu_utilization_mean,
    max(r.cpu_utilization_max) AS cpu_utilization_peak,
    toFloat64(sum(r.memory_used_gb_sum)) / nullIf(sum(r.memory_used_gb_count), 0) AS memory_used_gb_mean,
    max(r.memory_total_gb_max) AS memory_total_gb,
    toFloat64(sum(r.network_rx_mbps_sum)) / nullIf(sum(r.network_rx_mbps_count), 0) AS network_rx_mbps_mean,
    toFloat64(sum(r.network_tx_mbps_sum)) / nullIf(sum(r.network_tx_mbps_count), 0) AS network_tx_mbps_mean
FROM resource_metrics_hourly AS r
GROUP BY hour, customer_id, instance_id, instance_type, gpu_index;

CREATE VIEW IF NOT EXISTS performance_analytics AS
SELECT
    p.bucket AS hour,
    p.customer_id AS customer_id,
    p.service_id AS service_id,
    p.service_type AS service_type,
    p.model_name AS model_name,
    sum(p.num_rows) AS num_samples,
    toFloat64(sum(p.latency_ms_sum)) / nullIf(sum(p.latency_ms_count), 0) AS latency_ms_mean,
    if(sum(p.latency_ms_count) = 0, NULL, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(p.latency_ms_sketch)[1]) AS latency_ms_p50,
    if(sum(p.latency_ms_count) = 0, NULL, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(p.latency_ms_sketch)[3]) AS latency_ms_p95,
    if(sum(p.latency_ms_count) = 0, NULL, quantilesDDMerge(0.01, 0.5, 0.9, 0.95, 0.99, 0.999)(p.latency_ms_sketch)[4]) AS latency_ms_p99,
    toFloat64(sum(p.throughput_tokens_per_sec_sum)) / nullIf(sum(p.throughput_tokens_per_sec_count), 0) AS throughput_tokens_per_sec_mean,
    toFloat64(sum(p.gpu_utilization_sum)) / nullIf(sum(p.gpu_utilization_count), 0) AS gpu_utilization_mean,
    toFloat64(sum(p.kv_cache_utilization_sum)) / nullIf(sum(p.kv_cache_utilization_count), 0) AS kv_cache_utilization_mean,
    sum(p.batch_size_sum) / nullIf(sum(p.batch_size_count), 0) AS batch_size_mean,
    if(sum(p.prompt_tokens_count) = 0, NULL, sum(p.prompt_tokens_sum)) AS prompt_tokens,
    if(sum(p.completion_tokens_count) = 0, NULL, sum(p.completion_tokens_sum)) AS completion_tokens,
    if(sum(p.total_tokens_count) = 0, NULL, sum(p.total_tokens_sum)) AS total_tokens
FROM performance_metrics_hourly AS p
GROUP BY hour, customer_id, service_id, service_type, model_name;

-- An instance-hour is an hour in which an instance was seen; its cost is the mean rate seen in it for the
-- whole hour, which is what providers bill that bill by started hours, and an upper bound for the others.
CREATE VIEW IF NOT EXISTS cost_analytics AS
SELECT
    toStartOfDay(i.hour) AS day,
    i.customer_id AS customer_id,
    i.cloud_provider AS cloud_provider,
    i.service_name AS service_name,
    i.instance_type AS instance_type,
    i.region AS region,
    i.is_spot AS is_spot,
    i.is_reserved AS is_reserved,
    uniqExact(i.instance_id) AS num_instances,
    count() AS num_instance_hours,
    count(i.rate) AS num_priced_instance_hours,
    sum(i.rate) AS instance_hours_cost,
    avg(i.rate) AS cost_per_hour_mean,
    avg(i.utilization) AS utilization_percent_mean
FROM
(
    SELECT
        c.bucket AS hour,
        c.customer_id AS customer_id,
        c.cloud_provider AS cloud_provider,
        c.service_name AS service_name,
        c.instance_id AS instance_id,
        c.instance_type AS instance_type,
        c.region AS region,
        c.is_spot AS is_spot,
        c.is_reserved AS is_reserved,
        toFloat64(sum(c.cost_per_hour_sum)) / nullIf(sum(c.cost_per_hour_count), 0) AS rate,
        toFloat64(sum(c.utilization_percent_sum)) / nullIf(sum(c.utilization_percent_count), 0) AS utilization
    FROM cost_metrics_hourly AS c
    GROUP BY hour, customer_id, cloud_provider, service_name, instance_id, instance_type, region, is_spot, is_reserved
) AS i
GROUP BY day, customer_id, cloud_provider, service_name, instance_type, region, is_spot, is_reserved;

CREATE VIEW IF NOT EXISTS customer_metrics AS
SELECT
    a.day AS day,
    a.customer_id AS customer_id,
    sum(a.cost) AS instance_hours_cost,
    sum(a.instance_hours) AS num_instance_hours,
    sum(a.prompt) AS prompt_tokens,
    sum(a.completion) AS completion_tokens,
    sum(a.latency_sum) / nullIf(sum(a.latency_count), 0) AS latency_ms_mean,
    sum(a.quality_sum) / nullIf(sum(a.quality_count), 0) AS overall_quality_score_mean,
    sum(a.hallucinations) / nullIf(sum(a.hallucination_checks), 0) AS hallucination_ratio,
    sum(a.gpu_sum) / nullIf(sum(a.gpu_count), 0) AS gpu_utilization_mean
FROM
(
    SELECT
        day, customer_id,
        instance_hours_cost AS cost, num_instance_hours AS instance_hours,
        CAST(NULL, 'Nullable(UInt64)') AS prompt, CAST(NULL, 'Nullable(UInt64)') AS completion,
        0. AS latency_sum, toUInt64(0) AS latency_count, 0. AS quality_sum, toUInt64(0) AS quality_count,
        toUInt64(0) AS hallucinations, toUInt64(0) AS hallucination_checks, 0. AS gpu_sum, toUInt64(0) AS gpu_count
    FROM cost_analytics
    UNION ALL
    SELECT
        bucket, customer_id, NULL, NULL,
        if(prompt_tokens_count = 0, NULL, prompt_tokens_sum), if(completion_tokens_count = 0, NULL, completion_tokens_sum),
        toFloat64(latency_ms_sum), latency_ms_count, 0., 0, 0, 0, 0., 0
    FROM performance_metrics_daily_summary
    UNION ALL
    SELECT
        bucket, customer_id, NULL, NULL, NULL, NULL, 0., 0,
        toFloat64(overall_quality_score_sum), overall_quality_score_count,
        hallucination_detected_sum, hallucination_detected_count, 0., 0
    FROM quality_metrics_daily_summary
    UNION ALL
    SELECT
        bucket, customer_id, NULL, NULL, NULL, NULL, 0., 0, 0., 0, 0, 0,
        toFloat64(gpu_utilization_sum), gpu_utilization_count
    FROM resource_metrics_daily_summary
) AS a
GROUP BY day, customer_id;

"""Flags of the engines that the twin does not follow: harmless, worth a word, or refused.

Names are normalised as by `engine_flags.normalize_flag`. A flag in none of the tables, and not in
`engine_flags.FLAGS`, is unknown and refused, since it may change what is simulated.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from optiinfra.domain.engine_arguments import Engine

# They change how the engine is reached or what it logs, not how long a step takes. A trailing "*"
# covers every flag that starts so.
_VLLM = """
aggregate-engine-logging allow-credentials allowed-headers allowed-local-media-path
allowed-media-domains allowed-methods allowed-origins api-key api-server-count async-scheduling
calculate-kv-scales chat-template chat-template-content-format code-revision
collect-detailed-traces config-format convert cudagraph-metrics data-parallel-address
data-parallel-backend data-parallel-rank data-parallel-rpc-port data-parallel-start-rank
default-chat-template-kwargs disable-access-log-for-endpoints disable-fastapi-docs
disable-frontend-multiprocessing disable-hybrid-kv-cache-manager disable-log-requests
disable-log-stats disable-nccl-for-dp-synchronization disable-sliding-window
disable-uvicorn-access-log distributed-executor-backend download-dir enable-auto-tool-choice
enable-flash-late-interaction enable-force-include-usage enable-log-deltas enable-log-outputs
enable-log-requests enable-logging-iteration-details enable-mfu-metrics enable-offline-docs
enable-prompt-tokens-details enable-reasoning enable-request-id-headers
enable-return-routed-experts enable-server-load-tracking enable-sleep-mode enable-ssl-refresh
enable-tokenizer-info-endpoint exclude-tools-when-tool-choice-none fail-on-environ-validation
generation-config guided-decoding-* h11-max-* hf-config-path hf-token host ignore-patterns
interleave-mm-strings io-processor-plugin kv-cache-metrics kv-cache-metrics-sample
kv-events-config language-model-only limit-mm-per-prompt load-format log-config-file
log-error-stack logits-processors logprobs-mode master-addr master-port max-log-len max-logprobs
max-parallel-loading-workers media-io-kwargs middleware mm-* model model-loader-extra-config
model-tag no-async-scheduling no-enable-log-requests node-rank numa-bind numa-bind-cpus
numa-bind-nodes otlp-traces-endpoint override-generation-config port prefix-caching-hash-algo
ray-workers-use-nsight reasoning-parser response-role return-tokens-as-token-ids revision
root-path runner safetensors-load-strategy seed served-model-name show-hidden-metrics-for-version
shutdown-timeout skip-mm-profiling sleep-mode ssl-* stream-interval structured-outputs-config
swap-space task tokenizer tokenizer-mode tokenizer-revision tool-call-parser tool-parser-plugin
tool-server trust-remote-code trust-request-chat-template uds use-v2-block-manager
uvicorn-log-level worker-cls worker-extension-cls
"""
_SGLANG = """
admin-api-key allow-auto-truncate api-key base-gpu-id bucket-* chat-template
collect-tokens-histogram completion-template constrained-json-* crash-dump-folder
custom-sigquit-handler decode-log-interval device dist-init-addr dist-timeout download-dir
enable-cache-report enable-metrics enable-metrics-for-all-schedulers enable-mfu-metrics
enable-multimodal enable-p2p-check enable-request-time-stats-logging enable-trace
export-metrics-to-file export-metrics-to-file-dir fastapi-root-path file-storage-path
gc-warning-threshold-secs generation-tokens-buckets gpu-id-step grammar-backend grpc-mode
hf-chat-template-name host incremental-streaming-output is-embedding kv-events-config
load-balance-method load-format log-* model model-checksum model-impl model-loader-extra-config
model-path nccl-init-addr nccl-port node-rank otlp-traces-endpoint port preferred-sampling-params
prompt-tokens-buckets radix-eviction-policy random-seed reasoning-parser revision sampling-backend
sampling-defaults served-model-name show-time-cost skip-server-warmup skip-tokenizer-init
sleep-on-idle soft-watchdog-timeout stream-interval stream-output tokenizer-metrics-*
tokenizer-mode tokenizer-path tokenizer-worker-num tool-call-parser tool-server trust-remote-code
uvicorn-access-log-exclude-prefixes warmups watchdog-timeout weight-version
"""
_TGI = """
api-key cors-allow-origin disable-grammar-support enable-prefill-logprobs env
graceful-termination-timeout hostname huggingface-hub-cache json-output master-addr master-port
max-best-of max-client-batch-size max-input-length max-input-tokens max-stop-sequences
max-top-n-tokens model-id ngrok ngrok-authtoken ngrok-edge otlp-endpoint otlp-service-name
payload-limit port revision shard-uds-path sharded tokenizer-config-path trust-remote-code
usage-stats validation-workers watermark-delta watermark-gamma weights-cache-override
"""
HARMLESS: Mapping[Engine, frozenset[str]] = MappingProxyType(
    {
        Engine.VLLM: frozenset(_VLLM.split()),
        Engine.SGLANG: frozenset(_SGLANG.split()),
        Engine.TGI: frozenset(_TGI.split()),
    }
)

# The engine behaves otherwise with them than simulated; the sentence is printed with the result.
WORTH_A_WORD: Mapping[Engine, Mapping[str, str]] = MappingProxyType(
    {
        Engine.VLLM: MappingProxyType(
            {
                "enforce-eager": "steps are simulated as with CUDA graphs",
                "enable-lora": "adapters are not simulated: the base model alone is",
                "max-loras": "adapters are not simulated: the base model alone is",
                "max-lora-rank": "adapters are not simulated: the base model alone is",
                "max-cpu-loras": "adapters are not simulated: the base model alone is",
                "lora-modules": "adapters are not simulated: the base model alone is",
                "scheduling-policy": "requests are simulated first come, first served",
                "max-num-partial-prefills": "one prefill at a time is chunked in the simulation",
                "max-long-partial-prefills": "one prefill at a time is chunked in the simulation",
                "long-prefill-token-threshold": "chunks are limited by the token budget alone",
                "kv-cache-memory-bytes": "the KV cache is sized by the memory share instead",
                "num-gpu-blocks-override": "the KV cache is sized by the memory share instead",
                "compilation-config": "steps are simulated with the engine's default compilation",
                "optimization-level": "steps are simulated with the engine's default compilation",
                "cudagraph-capture-sizes": "steps are simulated with the default CUDA graphs",
                "cuda-graph-sizes": "steps are simulated with the default CUDA graphs",
                "max-cudagraph-capture-size": "steps are simulated with the default CUDA graphs",
                "attention-backend": "attention is simulated with the default kernels",
                "attention-config": "attention is simulated with the default kernels",
                "disable-cascade-attn": "attention is simulated with the default kernels",
                "disable-custom-all-reduce": "all-reduce is simulated with the default kernels",
                "enable-dbo": "overlap of two batches is not simulated",
                "enable-eplb": "experts are simulated as evenly loaded",
                "eplb-config": "experts are simulated as evenly loaded",
                "hf-overrides": "the model is simulated by its published configuration",
                "rope-scaling": "the model is simulated by its published configuration",
                "rope-theta": "the model is simulated by its published configuration",
                "data-parallel-size-local": "all data-parallel ranks are simulated in one instance",
                "additional-config": "it is not simulated",
                "num-scheduler-steps": "the V1 scheduler has no multi-step mode",
            }
        ),
        Engine.SGLANG: MappingProxyType(
            {
                "attention-backend": "attention is simulated with the default kernels",
                "decode-attention-backend": "attention is simulated with the default kernels",
                "prefill-attention-backend": "attention is simulated with the default kernels",
                "moe-runner-backend": "experts are simulated with the default kernels",
                "disable-cuda-graph": "steps are simulated as with CUDA graphs",
                "cuda-graph-max-bs": "steps are simulated with the default CUDA graphs",
                "cuda-graph-bs": "steps are simulated with the default CUDA graphs",
                "disable-cuda-graph-padding": "steps are simulated with the default CUDA graphs",
                "enable-torch-compile": "steps are simulated without torch.compile",
                "torch-compile-max-bs": "steps are simulated without torch.compile",
                "disable-overlap-schedule": "steps are simulated with the overlapped scheduler",
                "enable-mixed-chunk": "prefill chunks and decodes share a step in any case",
                "schedule-policy": "requests are simulated first come, first served",
                "schedule-conservativeness": "requests are admitted as vLLM does",
                "max-prefill-tokens": "prefill is limited by the chunk size alone",
                "prefill-max-requests": "prefill is limited by the chunk size alone",
                "max-total-tokens": "the KV cache is sized by the memory share instead",
                "max-queued-requests": "the queue is simulated without a limit",
                "disable-custom-all-reduce": "all-reduce is simulated with the default kernels",
                "enable-lora": "adapters are not simulated: the base model alone is",
                "lora-paths": "adapters are not simulated: the base model alone is",
                "max-loras-per-batch": "adapters are not simulated: the base model alone is",
                "json-model-override-args": "the model is simulated by its published configuration",
            }
        ),
        Engine.TGI: MappingProxyType(
            {
                "waiting-served-ratio": "a waiting request joins the next step with room for it",
                "max-waiting-tokens": "a waiting request joins the next step with room for it",
                "max-batch-total-tokens": "the KV cache is sized by the memory share instead",
                "cuda-graphs": "steps are simulated as with CUDA graphs",
                "disable-custom-kernels": "steps are simulated with the default kernels",
                "rope-scaling": "the model is simulated by its published configuration",
                "rope-factor": "the model is simulated by its published configuration",
                "lora-adapters": "adapters are not simulated: the base model alone is",
            }
        ),
    }
)

_OFFLOAD = "weights or KV cache in the host's memory"
_SPECULATION = "speculative decoding"
_DISAGGREGATION = "prefill and decode on separate replicas"

# With these a result would be wrong by far, so there is none.
NOT_SIMULATED: Mapping[Engine, Mapping[str, str]] = MappingProxyType(
    {
        Engine.VLLM: MappingProxyType(
            {
                "speculative-config": _SPECULATION,
                "speculative-model": _SPECULATION,
                "num-speculative-tokens": _SPECULATION,
                "cpu-offload-gb": _OFFLOAD,
                "offload-backend": _OFFLOAD,
                "kv-offloading-size": _OFFLOAD,
                "kv-transfer-config": _DISAGGREGATION,
                "ec-transfer-config": _DISAGGREGATION,
                "decode-context-parallel-size": "context parallelism",
                "prefill-context-parallel-size": "context parallelism",
                "nnodes": "a replica on several instances",
                "headless": "a replica on several instances",
                "data-parallel-hybrid-lb": "a replica on several instances",
                "data-parallel-external-lb": "a replica on several instances",
                "config": "a separate configuration file",
            }
        ),
        Engine.SGLANG: MappingProxyType(
            {
                "speculative-algorithm": _SPECULATION,
                "speculative-draft-model-path": _SPECULATION,
                "speculative-num-steps": _SPECULATION,
                "speculative-eagle-topk": _SPECULATION,
                "speculative-num-draft-tokens": _SPECULATION,
                "cpu-offload-gb": _OFFLOAD,
                "enable-hierarchical-cache": _OFFLOAD,
                "disaggregation-mode": _DISAGGREGATION,
                "disaggregation-transfer-backend": _DISAGGREGATION,
                "enable-dp-attention": "data-parallel attention",
                "ep-size": "expert parallelism in SGLang",
                "expert-parallel-size": "expert parallelism in SGLang",
                "ep": "expert parallelism in SGLang",
                "attention-context-parallel-size": "context parallelism",
                "nnodes": "a replica on several instances",
                "config": "a separate configuration file",
            }
        ),
        Engine.TGI: MappingProxyType({"speculate": _SPECULATION}),
    }
)


# On a command line these take no value, and those of the second tuple take several.
_SWITCH_STARTS = ("enable-", "disable-", "no-", "skip-", "show-", "return-", "use-")
_SWITCHES = frozenset(
    """
    allow-credentials async-scheduling calculate-kv-scales collect-tokens-histogram
    constrained-json-disable-any-whitespace cudagraph-metrics enforce-eager env
    exclude-tools-when-tool-choice-none export-metrics-to-file grpc-mode headless
    interleave-mm-strings is-embedding json-output kv-cache-metrics language-model-only
    log-error-stack log-requests ngrok numa-bind sleep-mode sleep-on-idle trust-remote-code
    trust-request-chat-template
    """.split()  # noqa: SIM905  # a list of fifty strings would be read by nobody
)
_SEVERAL = frozenset(
    """
    served-model-name lora-modules lora-paths middleware cudagraph-capture-sizes cuda-graph-sizes
    cuda-graph-bs allowed-media-domains logits-processors log-requests-target
    bucket-time-to-first-token bucket-inter-token-latency bucket-e2e-request-latency
    """.split()  # noqa: SIM905  # as above
)


def is_switch(normal_name: str) -> bool:
    """Whether the flag stands alone on a command line."""
    return normal_name in _SWITCHES or normal_name.startswith(_SWITCH_STARTS)


def takes_several(normal_name: str) -> bool:
    """Whether every word up to the next flag belongs to this one."""
    return normal_name in _SEVERAL


def is_harmless(engine: Engine, normal_name: str) -> bool:
    """Whether the flag does not matter to the twin."""
    names = HARMLESS[engine]
    return normal_name in names or any(
        name.endswith("*") and normal_name.startswith(name[:-1]) for name in names
    )

"""The environment variables that are read, each with a sentence: those of `Settings`, and all others."""

from db.settings import Settings

_FURTHER = {
    "KITS_UP_DATABASE": "`kits up`: the same as `--database`, but hidden: other users of a machine can read a "
    "command's options.",
    "KITS_READER_PASSWORD": "`kits catalog grant`: the password of the role; without it one is made and shown once.",
    "KITS_WORKER": "Process of the worker that started a run. Workers of kits set it; do not set it yourself.",
    "KITS_ROOT": "The repository's folder as a worker sees it; `kits up` sets it, workers started by hand need it.",
}
OF_OTHERS = {
    "HTTPS_PROXY": "Proxy for downloads. `HTTP_PROXY` and `ALL_PROXY` are read as well.",
    "NO_PROXY": "Hosts that are reached without the proxy; 127.0.0.1 always is.",
    "KERAS_BACKEND": "tensorflow (the default) or jax: what computes the network.",
    "TF_ENABLE_ONEDNN_OPTS": "0 switches oneDNN's fast convolutions off on a CPU. kits sets 1 where it is not set.",
    "ONEDNN_MAX_CPU_ISA": "Most of the CPU's vector units that oneDNN may use, as AVX2.",
    "CUDA_VISIBLE_DEVICES": "Graphics cards that a process may use.",
    "PREFECT_API_URL": "A Prefect server that runs already; without it the home's own is used.",
    "PREFECT_API_AUTH_STRING": "Password for that server, as `user:password`. A home's own stands in its file "
    "`prefect/auth-string`.",
    "PREFECT_SERVER_API_AUTH_STRING": "`kits up`: the password to use instead of one that is made.",
    "PREFECT_SERVER_UI_API_URL": "Where browsers reach the API, behind a proxy.",
    "PREFECT_SERVER_CSRF_PROTECTION_ENABLED": "true switches Prefect's own CSRF tokens on.",
}
"""Variables of other programs that kits uses or passes on."""


def kits_variables() -> dict[str, str]:
    """Every variable `KITS_…` that is read, with what it is for."""
    prefix = Settings.model_config["env_prefix"]
    fields = {f"{prefix}{name.upper()}": field.description or "" for name, field in Settings.model_fields.items()}
    return fields | _FURTHER

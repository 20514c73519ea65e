"""In which numbers networks are evaluated."""

import torch


def multiplies_bf16(device: str) -> bool:
    """Whether ``device`` ("cpu" or "cuda") has instructions that multiply bf16 matrices."""
    found = torch.cpu.get_capabilities() if device == "cpu" else {}
    return device != "cpu" or any(found.get(name) for name in ("amx_bf16", "avx512_bf16", "bf16"))

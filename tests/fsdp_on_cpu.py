"""`peftsum` with FSDP on a CPU, where accelerate only allows it on GPUs: to test what peftsum does around it.

accelerate's own code shards, gathers, saves and loads; only its choice by device is overruled.
"""

from __future__ import annotations

import sys
from typing import Any

from accelerate import Accelerator
from accelerate.state import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin

from peftsum.cli import main


class ShardingAccelerator(Accelerator):
    """As ``accelerate launch`` makes one with the FSDP configuration of docs/scaling.md."""

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        self.state.fsdp_plugin = FullyShardedDataParallelPlugin(
            fsdp_version=2,
            auto_wrap_policy="transformer_based_wrap",
            transformer_cls_names_to_wrap=["T5Block"],
            cpu_ram_efficient_loading=False,
            state_dict_type="SHARDED_STATE_DICT",
        )
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        self.state.distributed_type = DistributedType.FSDP


if __name__ == "__main__":
    import accelerate

    accelerate.Accelerator = ShardingAccelerator  # type: ignore[misc]  # fitting imports it when it needs it
    main(sys.argv[1:])

"""What a training will take, worked out before it runs.

| module | its one job |
|---|---|
| ``target`` | the device a forecast is for |
| ``workload`` | steps, batches and validation of a training, as lengths |
| ``bases``, ``skeleton``, ``quantized`` | a model without weights |
| ``live`` | which storages are alive, and what operations cost |
| ``step`` | one step of the project's own engine on fake tensors |
| ``memory``, ``speed`` | from there to bytes, seconds and joules |
| ``core`` | ``forecast(recipe, target)`` |
"""

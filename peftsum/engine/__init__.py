"""The training engine: what a step computes, in as few operations as this hardware allows; every part can be off.

| part | setting | module |
|---|---|---|
| dialogues end to end, without padding | ``packing`` | ``packing``, ``segments``, ``attention`` |
| LoRA, norm and gated GELU fused | ``fused`` | ``projection``, ``elementwise``, ``layers`` |
| head and loss on real targets, in blocks | ``real_targets`` | ``loss`` |
| dropout from few random words | ``cheap_dropout`` | ``dropout`` |
| freed memory kept | ``keep_memory`` | ``allocator`` |
| bias and mask made once for all layers | ``model.attention: auto`` | ``attention`` |

``peftsum.training_model.TrainingModel`` puts them together; ``settings.Engine`` is the recipe's section.
"""

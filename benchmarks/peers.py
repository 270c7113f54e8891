"""The JAX systems that the speed benchmarks compare with, where they are installed."""

from __future__ import annotations

from typing import Any

from systems import Work, by_channel, start_state, start_weights


class Jax:
    """Plain JAX: lax.scan over a dense step, jit, grad."""

    def prepare(self, work: Work) -> Any:
        """A function that runs the work once; ImportError where JAX is not installed."""
        import jax
        import jax.numpy as jnp
        from jax import lax

        from nca.model import fixed_filters

        x, rgba = map(jnp.asarray, start_state(work))
        bank = jnp.asarray(fixed_filters("none").repeat(16, 1, 1).numpy())
        kernel = bank[:, None].transpose(2, 3, 1, 0)
        first, last = start_weights()
        first, last = jnp.asarray(by_channel(first).T), jnp.asarray(last.T)
        weights = (first, jnp.zeros(128), last, jnp.zeros(16))

        def alive(state: Any) -> Any:
            window = (1, 3, 3, 1)
            top = lax.reduce_window(state[..., 3:4], -jnp.inf, lax.max, window, (1,) * 4, "SAME")
            return top > 0.1

        def rollout(weights: Any, key: Any) -> Any:
            w1, b1, w2, b2 = weights

            def step(state: Any, key: Any) -> Any:
                seen = lax.conv_general_dilated(
                    state, kernel, (1, 1), "SAME", feature_group_count=16,
                    dimension_numbers=("NHWC", "HWIO", "NHWC"),
                )  # fmt: skip
                dx = jax.nn.relu(seen @ w1 + b1) @ w2 + b2
                fires = jax.random.bernoulli(key, 0.5, (*state.shape[:3], 1))
                grown = state + dx * fires
                return grown * (alive(state) & alive(grown)), None

            return lax.scan(step, x, jax.random.split(key, work.steps))[0]

        key = jax.random.key(0)
        if work.kind == "grow":
            run = jax.jit(rollout)
        else:
            run = jax.jit(jax.grad(lambda w, k: jnp.square(rollout(w, k)[..., :4] - rgba).mean()))
        return lambda: jax.block_until_ready(run(weights, key))


class Cax:
    """CAX's own perception, update and scan, as in its growing example; jit, grad."""

    def prepare(self, work: Work) -> Any:
        """A function that runs the work once; ImportError where CAX is not installed."""
        import jax
        import jax.numpy as jnp
        import numpy as np
        from cax.core import ComplexSystem
        from cax.core.perceive import ConvPerceive
        from cax.core.update import NCAUpdate
        from flax import nnx

        from nca.model import fixed_filters

        x, rgba = start_state(work)
        # Alpha is the last channel there; what the first layer's columns mean does not matter.
        x = jnp.asarray(np.roll(x, -4, axis=-1))
        first, last = start_weights()
        bank = fixed_filters("none").repeat(16, 1, 1).numpy()

        class Growing(ComplexSystem):
            def __init__(self) -> None:
                rngs = nnx.Rngs(0)
                self.perceive = ConvPerceive(16, 48, feature_group_count=16, rngs=rngs)
                self.perceive.conv.kernel[...] = jnp.asarray(bank.transpose(1, 2, 0)[:, :, None])
                self.update = NCAUpdate(16, 48, (128,), cell_dropout_rate=0.5, rngs=rngs)
                for layer, weights in zip(self.update.layers, (first, last), strict=True):
                    layer.kernel[...] = jnp.asarray(weights.T[None, None])

            def _step(self, state: Any, input: Any = None, *, sow: bool = False) -> Any:
                return self.update(state, self.perceive(state), input)

        def loss(cells: Growing) -> Any:
            return jnp.square(cells(x, num_steps=work.steps)[..., -4:] - rgba).mean()

        cells = Growing()
        if work.kind == "grow":
            return lambda: jax.block_until_ready(cells(x, num_steps=work.steps))
        learned = nnx.DiffState(0, nnx.All(nnx.Param, nnx.PathContains("update")))
        run = nnx.jit(nnx.grad(loss, argnums=learned))
        return lambda: jax.block_until_ready(jax.tree.leaves(run(cells)))

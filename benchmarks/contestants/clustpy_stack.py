"""ClustPy's StackedAutoencoder, with the job's net, batch, epochs and Adam; else its defaults.

What differs from the job is its own doing: a stage is a linear autoencoder, for
``layerwise_training`` takes the linear layers alone, without the sigmoids of code and
reconstruction; stage 2 encodes each batch anew in every epoch; a DataLoader collates single
samples; Adam is not fused, and each loss is looked at. Its code would be linear in the fine-tuning,
too, for no option names a unit for it: it is given its sigmoid here.
"""

from __future__ import annotations

import torch
from job import LR, SEED, SIZES, Clock, begin, parser, pixels, report, say

UNITS = {"activation_fn": torch.nn.Sigmoid, "decoder_output_fn": torch.nn.Sigmoid}


def main() -> None:
    options = parser()
    options.add_argument("--own_units", action="store_true", help="leaky ReLU, linear output")
    job = begin(options)
    try:
        from clustpy.deep.neural_networks import StackedAutoencoder
    except ImportError as error:
        say({"skipped": str(error)})
        return
    model = StackedAutoencoder(list(SIZES), random_state=SEED, **({} if job.own_units else UNITS))
    if not job.own_units:
        model.encoder.block.append(torch.nn.Sigmoid())
    x = pixels(job, "train")

    class Looks:
        """What ClustPy calls after each epoch of the fine-tuning, if it is given a schedule."""

        def __init__(self, optimizer: torch.optim.Optimizer) -> None:
            pass

        def step(self) -> None:
            clock.look(model, job)

    with Clock() as clock:
        model.fit(
            n_epochs=job.finetune_epochs,
            scheduler=Looks,
            n_epochs_per_layer=job.epochs,
            optimizer_params={"lr": LR},
            batch_size=job.batch_size,
            data=x,
        )
    report(job, clock, model)


if __name__ == "__main__":
    main()

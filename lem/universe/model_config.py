"""Size of the model, as it stands under `[model]` in a universe file."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class ModelConfig(BaseModel):
    """Size of a Large Execution Model.

    Args:
        hidden: width of the context.
        embedding: width of one feature's embedding.
        tkan_layers: recurrent layers.
        kan_layers: KAN sub-layers inside a TKAN cell.
        kan_width: width of a KAN sub-layer.
        heads: attention heads; must divide `hidden`.
        lookback: bars that attention sees.
        head_hidden: width of an allocation head.
        dropout: in the context's gates, in training only.
        warmup: bars fed to the recurrence before the first context that is used.
        recurrence: the paper's TKAN, a plain LSTM of the same width, or none.
        variable_selection: weigh the features against each other; without it they enter through one linear layer.
        attention: attend to earlier bars; without it a bar's context comes from the recurrence alone.
        independent_heads: one network for each scenario; without it one for all, which is told the scenario.
        signed: whether the context sees which way the price has moved, or only how far. A model that sees it takes the
            drift of its training window for a law, and that of the last hours for a trend.
        base: what the heads correct: the dynamic programme with costs, or the even pace (the paper's).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    hidden: Annotated[int, Field(ge=4, le=1024)] = 32
    embedding: Annotated[int, Field(ge=1, le=256)] = 8
    tkan_layers: Annotated[int, Field(ge=1, le=4)] = 1
    kan_layers: Annotated[int, Field(ge=1, le=8)] = 2
    kan_width: Annotated[int, Field(ge=1, le=256)] = 8
    heads: Annotated[int, Field(ge=1, le=32)] = 4
    lookback: Annotated[int, Field(ge=2, le=2000)] = 48
    head_hidden: Annotated[int, Field(ge=4, le=1024)] = 64
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    warmup: Annotated[int, Field(ge=1, le=4000)] = 64
    recurrence: Literal["tkan", "lstm", "none"] = "tkan"
    variable_selection: bool = True
    attention: bool = True
    independent_heads: bool = True
    signed: bool = False
    base: Literal["programme", "even"] = "programme"

    @model_validator(mode="after")
    def _divides(self) -> ModelConfig:
        if self.hidden % self.heads:
            raise ValueError(f"heads: {self.heads} does not divide hidden {self.hidden}")
        if self.warmup < self.lookback:
            raise ValueError(
                f"warmup: {self.warmup} is shorter than lookback {self.lookback}; allowed: lookback or more"
            )
        return self

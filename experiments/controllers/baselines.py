"""Predictors from well-kept libraries, each tuned as well as the data that a search has at that moment allow.

Boosted trees choose their size and number by four-fold cross-validation on the candidates that are learned from,
among `GRID`. The Gaussian process fits its length scale and its noise by maximum likelihood.
"""

import warnings
from collections.abc import Callable, Sequence

import lightgbm
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, DotProduct, WhiteKernel
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from experiments.controllers.features import FlatEncoding, structural_features
from experiments.controllers.protocol import Array, Known

Predict = Callable[[Sequence[Known]], Array]
"""Returns the predicted target of each candidate; shape (n,)."""

GRID = ({"num_leaves": 4, "min_child_samples": 5}, {"num_leaves": 12, "min_child_samples": 10})
MOST_TREES = 300
FOLDS = 4
GRADES = 31
"""Number of relevance grades of the ranking objective; LightGBM needs whole numbers, and its memory grows with their
square."""

LOWEST_TARGET = 3.0
"""Robust standard deviations below the median at which targets are cut off, as for the SCC. Otherwise networks that
stayed at chance would dominate the squared error."""


def parameters_alone(train: Sequence[Known], targets: Array, seed: int) -> Predict:
    """Fit a straight line to the targets over the logarithm of parameter bytes."""
    del seed  # nothing is drawn

    def rows(candidates: Sequence[Known]) -> Array:
        return np.log([[candidate.memory.param_bytes] for candidate in candidates])

    line = LinearRegression().fit(rows(train), _clipped(targets))
    return lambda candidates: np.asarray(line.predict(rows(candidates)))


def gaussian_process(train: Sequence[Known], targets: Array, seed: int) -> Predict:
    """Fit a Gaussian process with a linear and a smooth part to the structural features."""
    rows = structural_features(train)
    smooth = ConstantKernel(1.0) * RBF(np.sqrt(rows.shape[1]), (1.0, 1e3))
    linear = ConstantKernel(0.1 / rows.shape[1], (1e-6, 1e2)) * DotProduct(0.0, "fixed")
    process = GaussianProcessRegressor(
        smooth + linear + WhiteKernel(0.3, (1e-4, 1e2)), normalize_y=True, random_state=seed
    )
    with warnings.catch_warnings():
        # If the data do not support a part of the kernel, its parameter reaches its bound, which switches the part off.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = make_pipeline(StandardScaler(), process).fit(rows, _clipped(targets))
    return lambda candidates: np.asarray(model.predict(structural_features(candidates)))


def boosting_structural(train: Sequence[Known], targets: Array, seed: int) -> Predict:
    """Boost trees on the structural features."""
    booster = _boosted(structural_features(train), _clipped(targets), seed, ranking=False)
    return lambda candidates: np.asarray(booster.predict(structural_features(candidates)))


def boosting_flat(train: Sequence[Known], targets: Array, seed: int) -> Predict:
    """Boost trees on the controllers' own tokens, laid side by side."""
    encode = FlatEncoding(train)
    booster = _boosted(encode(train), _clipped(targets), seed, ranking=False)
    return lambda candidates: np.asarray(booster.predict(encode(candidates)))


def boosting_ranking(train: Sequence[Known], targets: Array, seed: int) -> Predict:
    """Boost trees on the structural features with LambdaRank; its predictions have an order but no unit."""
    grades = np.floor(np.argsort(np.argsort(targets)) * GRADES / len(targets))
    booster = _boosted(structural_features(train), grades, seed, ranking=True)
    return lambda candidates: np.asarray(booster.predict(structural_features(candidates)))


def _boosted(rows: Array, targets: Array, seed: int, *, ranking: bool) -> lightgbm.Booster:
    """Return trees fitted to all rows, with the settings and the number of trees that cross-validation chooses."""
    common: dict[str, object] = {
        "objective": "lambdarank" if ranking else "regression",
        "metric": "ndcg" if ranking else "l2",
        "learning_rate": 0.05,
        "feature_fraction": 0.3,
        "bagging_fraction": 0.8,
        "bagging_freq": 1,
        "lambda_l2": 1.0,
        "seed": seed,
        "num_threads": 1,
        "deterministic": True,
        "force_col_wise": True,
        "verbosity": -1,
    }
    if ranking:
        common |= {"label_gain": list(range(GRADES)), "lambdarank_truncation_level": len(rows), "eval_at": [50]}
    folds = [*KFold(min(FOLDS, len(rows) // 2), shuffle=True, random_state=seed).split(rows)]
    chosen: tuple[float, int, dict[str, object]] | None = None
    for setting in GRID:
        options = common | setting | {"min_child_samples": min(int(setting["min_child_samples"]), len(rows) // 5)}
        losses = np.mean([_fold_losses(rows, targets, fold, options, ranking=ranking) for fold in folds], axis=0)
        trees = int(losses.argmin()) + 1
        if chosen is None or losses[trees - 1] < chosen[0]:
            chosen = float(losses[trees - 1]), trees, options
    assert chosen is not None, "the grid is not empty"
    _, trees, options = chosen
    return lightgbm.train(options, _data(rows, targets, ranking=ranking), trees)


def _fold_losses(
    rows: Array, targets: Array, fold: tuple[Array, Array], options: dict[str, object], *, ranking: bool
) -> list[float]:
    """Return the loss on the held-out part after each tree; for ranking it is 1 - NDCG."""
    train, held_out = fold
    data = _data(rows[train], targets[train], ranking=ranking)
    curve: dict[str, dict[str, list[float]]] = {}
    lightgbm.train(
        options,
        data,
        MOST_TREES,
        valid_sets=[_data(rows[held_out], targets[held_out], ranking=ranking)],
        valid_names=["held out"],
        callbacks=[lightgbm.record_evaluation(curve)],
    )
    (values,) = curve["held out"].values()
    return [1 - value for value in values] if ranking else values


def _data(rows: Array, targets: Array, *, ranking: bool) -> lightgbm.Dataset:
    return lightgbm.Dataset(rows, targets, group=[len(rows)] if ranking else None, free_raw_data=False)


def _clipped(targets: Array) -> Array:
    centre = np.median(targets)
    spread = 1.4826 * np.median(np.abs(targets - centre)) or targets.std()
    return np.asarray(targets.clip(centre - LOWEST_TARGET * spread, centre + LOWEST_TARGET * spread))

"""How alike two sets of pictures are to a network: mean cosine of their features.

With DINO features and the training photos as references this is the "DINO" score of DreamBooth
(Ruiz et al. 2023, sec. 4) and of APDM: (1/|R||G|) sum over r and g of cos(f(r), f(g)). All pictures
count; APDM's code looks at the first hundred only.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor
from torch.nn.functional import normalize

from apdm.direction import Direction
from apdm.errors import InputError
from apdm.metrics.base import FeatureExtractor, Score
from apdm.metrics.statistics import mean_score
from apdm.types import Pixels


def cosine_matrix(features_a: Float[Tensor, "a d"], features_b: Float[Tensor, "b d"]) -> Float[Tensor, "a b"]:
    """Cosines of all pairs, in [-1, 1], float64."""
    return normalize(features_a.double(), dim=1) @ normalize(features_b.double(), dim=1).T


def per_image_similarity(
    extractor: FeatureExtractor, images: Pixels, references: Pixels
) -> Float[Tensor, "n"]:
    """Each image's mean cosine to all references; the mean of it is the mean over all pairs.

    Raises `InputError` if there is no image or no reference.
    """
    if len(images) == 0 or len(references) == 0:
        raise InputError("a similarity needs images and references", fix="give at least one of each")
    return cosine_matrix(extractor(images), extractor(references)).mean(1)


def similarity_within(extractor: FeatureExtractor, images: Pixels) -> Float[Tensor, "n"]:
    """Each image's mean cosine to all the others: a set against itself, without the diagonal.

    Raises `InputError` for fewer than two images.
    """
    if len(images) < 2:
        raise InputError("one image has nothing to be compared with", fix="give two or more")
    features = extractor(images)
    cosines = cosine_matrix(features, features)
    return (cosines.sum(1) - cosines.diagonal()) / (len(images) - 1)


def similarity_score(extractor: FeatureExtractor, images: Pixels, references: Pixels, *, seed: int) -> Score:
    """Mean similarity with its interval over the images; the references are taken as they are."""
    values = per_image_similarity(extractor, images, references).numpy()
    return mean_score(
        values,
        seed=seed,
        metric="similarity",
        direction=Direction.LOWER_PROTECTS,
        extractor=extractor.name,
        fingerprint=extractor.fingerprint,
    )

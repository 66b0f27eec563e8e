"""Right and wrong answers to the extensions, with what the hints must say.

Each table is a list of `Row`s; RIGHT and WRONG hold the tables by extension.
"""

import math

import numpy as np
import scipy.stats
import torch

from answers import table, unanswered
from score.questions.ddpm.schedule import cosine_schedule

not_answered = unanswered("E1.1")


# E1.1, sine and cosine for the angle.


def four_then(*columns):
    """An answer of obs[..., :4] and columns of the angle."""
    return lambda obs: np.concatenate(
        [obs[..., :4], *(column(obs[..., 4])[..., None] for column in columns)], axis=-1
    )


encode_angle = four_then(np.sin, np.cos)


def filled_in(obs):
    encoded = np.empty((*obs.shape[:-1], 6), dtype=np.float32)
    encoded[..., :4] = obs[..., :4]
    encoded[..., 4], encoded[..., 5] = np.sin(obs[..., 4]), np.cos(obs[..., 4])
    return encoded


def by_complex_numbers(obs):
    point = np.exp(1j * obs[..., 4])
    return np.stack([*np.moveaxis(obs[..., :4], -1, 0), point.imag, point.real], axis=-1)


def changes_its_argument(obs):
    encoded = encode_angle(obs)
    obs[..., 4] %= 1
    return encoded


def centred(angle):
    return (angle % (2 * np.pi) - np.pi) / np.pi


WRONG_ANGLE = table(
    ("order swapped", four_then(np.cos, np.sin), "the sine comes first"),
    (
        "to radians once more",
        four_then(lambda a: np.sin(np.deg2rad(a)), lambda a: np.cos(np.deg2rad(a))),
        "radians already",
    ),
    (
        "to degrees",
        four_then(lambda a: np.sin(np.rad2deg(a)), lambda a: np.cos(np.rad2deg(a))),
        "np.sin takes radians",
    ),
    ("in front", lambda obs: encode_angle(obs)[..., [4, 5, 0, 1, 2, 3]], "come last"),
    ("sine twice", four_then(np.sin, np.sin), "both are the sine"),
    ("cosine twice", four_then(np.cos, np.cos), "both are the cosine"),
    ("angle and sine", four_then(lambda a: a, np.sin), "the angle itself is still there"),
    ("sine and angle", four_then(np.sin, lambda a: a), "the cosine is missing"),
    (
        "angle, sine and cosine",
        four_then(lambda a: a, np.sin, np.cos),
        "in place of the angle, not behind it",
    ),
    ("sine alone", four_then(np.sin), "two numbers take the place"),
    ("nothing done", lambda obs: obs, "two numbers take the place"),
    ("the two alone", lambda obs: encode_angle(obs)[..., 4:], "agent and block come before"),
    (
        "half the angle",
        four_then(lambda a: np.sin(a / 2), lambda a: np.cos(a / 2)),
        "half the angle",
    ),
    (
        "twice the angle",
        four_then(lambda a: np.sin(2 * a), lambda a: np.cos(2 * a)),
        "twice the angle",
    ),
    ("sign", four_then(lambda a: -np.sin(a), np.cos), "sign is wrong"),
    (
        "the block's y",
        lambda obs: np.concatenate(
            [obs[..., :4], np.sin(obs[..., 3:4]), np.cos(obs[..., 3:4])], -1
        ),
        "y is taken for",
    ),
    ("scaled", lambda obs: encode_angle(obs) * [1, 1, 1, 1, 2, 2], "up to 1 off it"),
    (
        "positions scaled",
        lambda obs: encode_angle(obs) / [512, 512, 512, 512, 1, 1],
        "obs[..., :4]",
    ),
    (
        "angle to (-1, 1) first",
        four_then(lambda a: np.sin(centred(a)), lambda a: np.cos(centred(a))),
        "np.sin(obs[..., 4])",
    ),
    (
        "batches alone",
        lambda obs: np.concatenate([obs[:, :4], np.sin(obs[:, 4:]), np.cos(obs[:, 4:])], axis=1),
        "obs[..., 4]",
    ),
    (
        "single ones alone",
        lambda obs: np.array([*obs[:4], np.sin(obs[4]), np.cos(obs[4])]),
        "obs[..., 4]",
    ),
    ("argument changed", changes_its_argument, "build a new array"),
    ("a tensor", lambda obs: torch.tensor(encode_angle(obs)), "numpy array is needed"),
    ("whole numbers", lambda obs: encode_angle(obs).astype(int), "no whole numbers"),
    ("nothing returned", lambda obs: None, "returned a NoneType"),
    ("not answered", not_answered, "ot answered yet"),
    ("other arguments", lambda: None, "leave the function's name and arguments"),
)


# E1.2, temporal ensembling.


def ensemble(predictions, m):
    return torch.softmax(-m * torch.arange(len(predictions)), dim=0) @ predictions


def one_by_one(predictions, m):
    total, weights = torch.zeros(predictions.shape[1], dtype=torch.float64), 0.0
    for i, prediction in enumerate(predictions):
        total, weights = total + math.exp(-m * i) * prediction, weights + math.exp(-m * i)
    return total / weights


def weighted(weights_of, normalised=True):
    def answer(predictions, m):
        weights = weights_of(torch.arange(len(predictions), dtype=torch.float32), m)
        return weights @ predictions / (weights.sum() if normalised else 1)

    return answer


def falling(i, m):
    return torch.exp(-m * i)


def over_coordinates(predictions, m):
    weights = falling(torch.arange(predictions.shape[1]), m)
    return (weights * predictions).sum(0)[: predictions.shape[1]] / weights.sum()


def products_over_coordinates(predictions, m):
    weights = falling(torch.arange(len(predictions)), m)
    return (weights[:, None] * predictions).sum(dim=1) / weights.sum()


def in_place(predictions, m):
    weights = falling(torch.arange(len(predictions)), m)
    predictions *= weights[:, None] / weights.sum()
    return predictions.sum(dim=0)


WRONG_ENSEMBLE = table(
    ("not normalised", weighted(falling, False), "do not add up to 1"),
    (
        "divided by their number",
        weighted(lambda i, m: falling(i, m) / len(i), False),
        "not by their number",
    ),
    ("sign of m", weighted(lambda i, m: torch.exp(m * i)), "the newest weighs most"),
    (
        "sign of m, not normalised",
        weighted(lambda i, m: torch.exp(m * i), False),
        "the newest weighs most",
    ),
    ("i = 0 the newest", weighted(lambda i, m: falling(i, m).flip(0)), "the newest weighs most"),
    (
        "i = 0 the newest, not normalised",
        weighted(lambda i, m: falling(i, m).flip(0), False),
        "the newest weighs most",
    ),
    ("plain mean", lambda predictions, m: predictions.mean(dim=0), "m is left out"),
    ("newest alone", lambda predictions, m: predictions[-1], "only the newest"),
    ("oldest alone", lambda predictions, m: predictions[0], "only the oldest"),
    ("m fixed", weighted(lambda i, m: torch.exp(-0.01 * i)), "m is fixed"),
    ("m is 1", weighted(lambda i, m: torch.exp(-i)), "m is left out, and is 1"),
    ("squared", weighted(lambda i, m: torch.exp(-m * i**2)), "i is squared"),
    ("divided by m", weighted(lambda i, m: torch.exp(-i / m)), "multiply"),
    (
        "share of the steps",
        weighted(lambda i, m: torch.exp(-m * i / len(i))),
        "divided by the number",
    ),
    ("powers of 2", weighted(lambda i, m: 2 ** (-m * i)), "powers of 2"),
    ("powers of m", weighted(lambda i, m: m**i), "powers of m"),
    ("hyperbola", weighted(lambda i, m: 1 / (1 + m * i)), "1 / (1 + m i)"),
    ("over the coordinates", over_coordinates, "exp(-m i) with i = 0"),
    ("summed over the coordinates", products_over_coordinates, "weights[:, None] * predictions"),
    (
        "no sum",
        lambda predictions, m: predictions * falling(torch.arange(len(predictions)), m)[:, None],
        "sum over the predictions",
    ),
    (
        "dimension kept",
        lambda predictions, m: ensemble(predictions, m)[None],
        "without a first dimension",
    ),
    (
        "one number",
        lambda predictions, m: ensemble(predictions, m).mean(),
        "coordinates stay apart",
    ),
    ("numpy", lambda predictions, m: ensemble(predictions, m).numpy(), "a tensor is needed"),
    ("argument changed", in_place, "makes a new tensor"),
    ("not answered", not_answered, "ot answered yet"),
)


# E1.3, the interval of a paired difference.


def around(difference, error, t=None):
    """An answer's three numbers: t errors around the mean of the differences."""
    t = scipy.stats.t.ppf(0.975, len(difference) - 1) if t is None else t
    return difference.mean(), difference.mean() - t * error, difference.mean() + t * error


def paired(difference_of=lambda a, b: b - a, ddof=1, root=lambda n: n**0.5, t_of=None):
    """An answer that does one thing in another way."""

    def answer(a, b):
        difference = difference_of(a, b)
        error = difference.std(ddof=ddof) / root(len(difference))
        return around(difference, error, t_of and t_of(len(difference)))

    return answer


def paired_by_hand(a, b):
    differences = [float(y) - float(x) for x, y in zip(a, b)]
    n, mean = len(differences), math.fsum(differences) / len(differences)
    squares = math.fsum((d - mean) ** 2 for d in differences)
    either = scipy.stats.t.isf(0.025, n - 1) * math.sqrt(squares / (n - 1) / n)
    return [mean, mean - either, mean + either]


def paired_by_scipy(a, b):
    found = scipy.stats.ttest_rel(b, a)
    low, high = found.confidence_interval(0.95)
    return np.mean(b - a), low, high


def paired_by_interval(a, b):
    d = b - a
    return np.array(
        [d.mean(), *scipy.stats.t.interval(0.95, len(d) - 1, d.mean(), scipy.stats.sem(d))]
    )


def paired_by_covariance(a, b):
    (aa, ab), (_, bb) = np.cov(a, b)
    mean, error = b.mean() - a.mean(), np.sqrt((aa + bb - 2 * ab) / a.size)
    low, high = scipy.stats.t.ppf([0.025, 0.975], a.size - 1) * error + mean
    return mean, low, high


def paired_in_torch(a, b):
    d = torch.tensor(b - a)
    t = float(scipy.stats.t(len(d) - 1).ppf(0.975))
    return d.mean(), d.mean() - t * d.std() / len(d) ** 0.5, d.mean() + t * d.std() / len(d) ** 0.5


def independent(a, b):
    return around(b - a, np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a)))


def subtracts_in_place(a, b):
    b -= a
    return around(b, b.std(ddof=1) / len(b) ** 0.5)


def resampled(a, b):
    means = np.random.default_rng(0).choice(b - a, (2000, len(a))).mean(axis=1)
    return (b - a).mean(), *np.quantile(means, [0.025, 0.975])


paired_interval = paired()
RIGHT_PAIRED = table(
    ("step by step", paired_interval),
    ("by hand, a list", paired_by_hand),
    ("scipy's paired test", paired_by_scipy),
    ("scipy's interval, an array", paired_by_interval),
    ("variances and covariance", paired_by_covariance),
    ("torch", paired_in_torch),
)
WRONG_PAIRED = table(
    ("a - b", paired(lambda a, b: a - b), "the sign is that of b - a"),
    ("population deviation", paired(ddof=0), "with ddof=1"),
    ("no root", paired(root=lambda n: 1), "where single episodes lie"),
    ("by n", paired(root=lambda n: n), "divided by n"),
    ("root of n - 1", paired(root=lambda n: (n - 1) ** 0.5), "n - 1 belongs into the deviation"),
    ("1.96", paired(t_of=lambda n: 1.96), "t is 1.96 here"),
    ("two", paired(t_of=lambda n: 2), "t is 2 here"),
    ("one error", paired(t_of=lambda n: 1), "t is missing"),
    ("one side", paired(t_of=lambda n: scipy.stats.t.ppf(0.95, n - 1)), "t.ppf(0.975)"),
    ("99 %", paired(t_of=lambda n: scipy.stats.t.ppf(0.995, n - 1)), "the 99 % interval"),
    ("n degrees", paired(t_of=lambda n: scipy.stats.t.ppf(0.975, n)), "too many"),
    (
        "variance",
        lambda a, b: around(b - a, (b - a).var(ddof=1) / len(a) ** 0.5),
        "the variance is taken",
    ),
    ("independent", independent, "two independent samples"),
    (
        "independent, normal",
        lambda a, b: around(b - a, np.sqrt((a.var(ddof=1) + b.var(ddof=1)) / len(a)), 1.96),
        "two independent samples",
    ),
    ("of b", paired(lambda a, b: b), "of b alone"),
    ("sizes", paired(lambda a, b: np.abs(b - a)), "lose their sign"),
    (
        "quantiles",
        lambda a, b: ((b - a).mean(), *np.quantile(b - a, [0.025, 0.975])),
        "quantiles of the differences",
    ),
    ("resampled", resampled, "by resampling"),
    ("median", lambda a, b: around(b - a, 0)[:1] * 3, "mean -+ t s"),
    (
        "low first",
        lambda a, b: [paired_interval(a, b)[i] for i in (1, 0, 2)],
        "the mean comes first",
    ),
    ("high first", lambda a, b: [paired_interval(a, b)[i] for i in (0, 2, 1)], "swapped"),
    ("without mean", lambda a, b: paired_interval(a, b)[1:], "the mean comes first"),
    ("mean alone", lambda a, b: [(b - a).mean()], "the interval is missing"),
    ("one number", lambda a, b: (b - a).mean(), "that is no three numbers"),
    (
        "around 0",
        lambda a, b: np.array(paired_interval(a, b)) - [0, (b - a).mean(), (b - a).mean()],
        "add the mean",
    ),
    ("percent", lambda a, b: 100 * np.array(paired_interval(a, b)), "these are percent"),
    ("argument changed", subtracts_in_place, "changes the caller's"),
    ("nothing returned", lambda a, b: None, "that is no three numbers"),
    ("not answered", unanswered("E1.3"), "ot answered yet"),
    ("other arguments", lambda: None, "leave the function's name and arguments"),
)


# E2.2, the number of modes.


def places(chunks):
    """Where chunks are along the direction in which they differ most [px per action]."""
    flat = chunks.reshape(len(chunks), -1)
    flat = flat - flat.mean(axis=0)
    return np.linalg.svd(flat, full_matrices=False)[2][0] @ flat.T / chunks.shape[1] ** 0.5


def grouped(places_of=places, cut=lambda step, gap: step > gap, counts=None):
    """An answer that does one thing in another way."""
    counts = counts or (lambda sizes, least: sum(size >= least for size in sizes))

    def answer(chunks, gap=15.0, least=4):
        sizes, ordered = [1], sorted(places_of(chunks))
        for before, after in zip(ordered, ordered[1:]):
            if cut(after - before, gap):
                sizes.append(0)
            sizes[-1] += 1
        return counts(sizes, least)

    return answer


def modes_by_eigenvectors(chunks, gap=15.0, least=4):
    n, steps, _ = chunks.shape
    rows = chunks.reshape(n, -1) - chunks.reshape(n, -1).mean(0)
    along = rows @ np.linalg.eigh(rows.T @ rows)[1][:, -1]
    along.sort()
    ends = np.concatenate([[0], 1 + np.nonzero(np.diff(along) > gap * np.sqrt(steps))[0], [n]])
    return np.count_nonzero(np.diff(ends) >= least)


def modes_by_distances(chunks, gap=15.0, least=4):
    """From the distances alone: their double-centred squares have the places as eigenvector."""
    squares = np.square(chunks[:, None] - chunks[None]).sum(axis=(2, 3)) / chunks.shape[1]
    centre = np.eye(len(chunks)) - 1 / len(chunks)
    values, vectors = np.linalg.eigh(-centre @ squares @ centre / 2)
    along = np.sort(vectors[:, -1] * np.sqrt(max(values[-1], 0)))
    group = np.cumsum(np.r_[0, np.diff(along) > gap])
    return int((np.bincount(group) >= least).sum())


def modes_in_torch(chunks, gap=15.0, least=4):
    rows = torch.from_numpy(chunks).flatten(1)
    rows = rows - rows.mean(dim=0)
    u, s, _ = torch.linalg.svd(rows, full_matrices=False)
    along = (u[:, 0] * s[0] / chunks.shape[1] ** 0.5).sort().values
    group = torch.cat([torch.zeros(1), (along.diff() > gap).cumsum(0).float()])
    return (group.unique(return_counts=True)[1] >= least).sum()


def centres_in_place(chunks, gap=15.0, least=4):
    chunks -= chunks.mean(axis=0)
    return grouped()(chunks, gap, least)


def uncentred(chunks):
    flat = chunks.reshape(len(chunks), -1)
    return flat @ np.linalg.svd(flat, full_matrices=False)[2][0] / chunks.shape[1] ** 0.5


def last_direction(chunks):
    flat = chunks.reshape(len(chunks), -1) - chunks.reshape(len(chunks), -1).mean(axis=0)
    return flat @ np.linalg.svd(flat, full_matrices=False)[2][-1] / chunks.shape[1] ** 0.5


def unsorted(chunks, gap=15.0, least=4):
    groups = np.split(chunks, np.flatnonzero(np.diff(places(chunks)) > gap) + 1)
    return sum(len(group) >= least for group in groups)


modes = grouped()
RIGHT_MODES = table(
    ("one by one", modes),
    ("eigenvectors of the covariance", modes_by_eigenvectors),
    ("from the distances", modes_by_distances),
    ("torch, left vectors", modes_in_torch),
)
WRONG_MODES = table(
    ("strays counted", grouped(counts=lambda sizes, least: len(sizes)), "too small are counted"),
    ("gaps", grouped(counts=lambda sizes, least: len(sizes) - 1), "the number of gaps"),
    (
        "more than least",
        grouped(counts=lambda sizes, least: sum(size > least for size in sizes)),
        ">=, not >",
    ),
    (
        "at least one",
        grouped(counts=lambda sizes, least: max(1, sum(size >= least for size in sizes))),
        "there may be no mode",
    ),
    (
        "least fixed",
        grouped(counts=lambda sizes, least: sum(size >= 4 for size in sizes)),
        "4 is fixed",
    ),
    ("the largest", grouped(counts=lambda sizes, least: max(sizes)), "how many chunks a group has"),
    ("gap fixed", grouped(cut=lambda step, gap: step > 15), "15 is fixed"),
    ("no root", grouped(lambda c: places(c) * c.shape[1] ** 0.5), "it is missing"),
    ("by Tp", grouped(lambda c: places(c) / c.shape[1] ** 0.5), "not by Tp itself"),
    ("by the root of 2 Tp", grouped(lambda c: places(c) / 2**0.5), "not twice as many"),
    ("not sorted", unsorted, "sort before"),
    ("not centred", grouped(uncentred), "take the mean of the chunks away"),
    ("the last direction", grouped(last_direction), "first principal direction"),
    ("sizes", grouped(lambda c: np.abs(places(c))), "no abs"),
    ("the last action", grouped(lambda c: places(c[:, -1:])), "not the last action alone"),
    (
        "their mean",
        grouped(lambda c: places(c.mean(axis=1, keepdims=True))),
        "all steps of a chunk count",
    ),
    ("always two", lambda chunks, gap, least: 2, "it is 2 whatever"),
    ("a share", lambda chunks, gap, least: 0.5, "a whole number is needed"),
    ("argument changed", centres_in_place, "build new arrays"),
    ("nothing returned", lambda chunks, gap, least: None, "raised TypeError"),
    ("not answered", unanswered("E2.2"), "ot answered yet"),
    ("other arguments", lambda: None, "leave the function's name and arguments"),
)


# E3.1, the DDIM step.


def share(alpha_bar, k):
    return alpha_bar[k] if k >= 0 else torch.ones(())


def ddim_step(pred_epsilon, k, k_prev, a_k, alpha_bar):
    """Rearranged: a_k by the ratio of the signals, and the noise that this leaves over."""
    now, then = share(alpha_bar, k), share(alpha_bar, k_prev)
    ratio = (then / now).sqrt()
    return ratio * a_k + ((1 - then).sqrt() - ratio * (1 - now).sqrt()) * pred_epsilon


def padded(pred_epsilon, k, k_prev, a_k, alpha_bar):
    """With the 1 in front and each index one further on, and roots by powers."""
    bar = torch.cat([torch.ones(1), alpha_bar])
    clean = (a_k - (1 - bar[k + 1]) ** 0.5 * pred_epsilon) * bar[k + 1] ** -0.5
    share = bar[k_prev + 1]
    clean = torch.lerp(torch.zeros_like(a_k), clean, float(share) ** 0.5)
    return clean + (1 - share) ** 0.5 * pred_epsilon


def ddim(
    front=torch.sqrt,
    noise=torch.sqrt,
    below=torch.sqrt,
    away=torch.sqrt,
    shares=None,
    clean=lambda a: a,
    add=1.0,
    take=1.0,
):
    """The answer in which one thing can be another.

    What is done to the four shares, which shares, the clean chunk, the signs.
    """

    def answer(pred_epsilon, k, k_prev, a_k, alpha_bar):
        now, then = (
            shares(alpha_bar, k, k_prev)
            if shares
            else (share(alpha_bar, k), share(alpha_bar, k_prev))
        )
        guess = clean((a_k - take * away(1 - now) * pred_epsilon) / below(now))
        return front(then) * guess + add * noise(1 - then) * pred_epsilon

    return answer


def as_it_is(value):
    return value


def alphas(bar):
    return bar / torch.cat([torch.ones(1), bar[:-1]])


def with_noise(pred_epsilon, k, k_prev, a_k, alpha_bar):
    return ddim_step(pred_epsilon, k, k_prev, a_k, alpha_bar) + 0.1 * torch.randn_like(a_k)


def fresh_noise_at_the_end(pred_epsilon, k, k_prev, a_k, alpha_bar):
    now, then = share(alpha_bar, k), share(alpha_bar, k_prev)
    clean = (a_k - (1 - now).sqrt() * pred_epsilon) / now.sqrt()
    return then.sqrt() * clean + (1 - then).sqrt() * torch.randn_like(a_k)


def ddpm_mean(pred_epsilon, k, k_prev, a_k, alpha_bar):
    alpha = alphas(alpha_bar)[k]
    return (a_k - (1 - alpha) / (1 - alpha_bar[k]).sqrt() * pred_epsilon) / alpha.sqrt()


def of_the_notebook(pred_epsilon, k, k_prev, a_k, alpha_bar):
    own = torch.tensor(np.cumprod(1 - cosine_schedule(100)), dtype=torch.float32)
    return ddim_step(pred_epsilon, min(k, 99), k_prev, a_k, own)


def changes_the_chunk(pred_epsilon, k, k_prev, a_k, alpha_bar):
    a = ddim_step(pred_epsilon, k, k_prev, a_k, alpha_bar)
    a_k.zero_()
    return a


WRONG_DDIM = table(
    (
        "alpha for alpha_bar",
        ddim(shares=lambda bar, k, p: (alphas(bar)[k], share(alphas(bar), p))),
        "alpha in place of alpha_bar",
    ),
    (
        "product of products",
        ddim(shares=lambda bar, k, p: (bar.cumprod(0)[k], share(bar.cumprod(0), p))),
        "taken twice",
    ),
    (
        "no root in front",
        ddim(front=as_it_is),
        "alpha_bar[k_prev] before the clean chunk is missing",
    ),
    ("no root at the end", ddim(noise=as_it_is), "1 - alpha_bar[k_prev] at the end is missing"),
    ("no root below", ddim(below=as_it_is), "alpha_bar[k] below the clean chunk"),
    ("no root of what is taken away", ddim(away=as_it_is), "root of 1 - alpha_bar[k] is missing"),
    ("no roots", ddim(as_it_is, as_it_is, as_it_is, as_it_is), "all roots are missing"),
    ("no division", ddim(below=torch.ones_like), "division by sqrt(alpha_bar[k])"),
    ("no factor in front", ddim(front=torch.ones_like), "lacks its factor"),
    ("no noise at the end", ddim(add=0.0), "noise at the end is left out"),
    ("noise taken away at the end", ddim(add=-1.0), "taken away at the end"),
    ("noise added at the start", ddim(take=-1.0), "noise is added to get the clean chunk"),
    ("noise added", with_noise, "noise is added: a DDIM step"),
    ("fresh noise at the end", fresh_noise_at_the_end, "noise is added: a DDIM step"),
    ("clean chunk cut off", ddim(clean=lambda a: a.clamp(-1, 1)), "cut off at"),
    ("clean chunk returned", ddim(front=torch.ones_like, add=0.0), "this is the clean chunk"),
    (
        "k - 1 for k_prev",
        ddim(shares=lambda bar, k, p: (bar[k], share(bar, k - 1))),
        "ends at k - 1",
    ),
    ("k_prev + 1", ddim(shares=lambda bar, k, p: (bar[k], bar[p + 1])), "one step off"),
    ("k_prev - 1", ddim(shares=lambda bar, k, p: (bar[k], share(bar, p - 1))), "without - 1"),
    (
        "k - 1 for k",
        ddim(shares=lambda bar, k, p: (share(bar, k - 1), share(bar, p))),
        "share of k is one step off",
    ),
    ("k and k_prev swapped", ddim(shares=lambda bar, k, p: (share(bar, p), bar[k])), "swapped"),
    ("k for both", ddim(shares=lambda bar, k, p: (bar[k], bar[k])), "the chunk keeps its noise"),
    (
        "alpha_bar[-1] at the end",
        ddim(shares=lambda bar, k, p: (bar[k], bar[p])),
        "alpha_bar[-1] is the last",
    ),
    (
        "0 at the end",
        ddim(shares=lambda bar, k, p: (bar[k], bar[p] if p >= 0 else torch.zeros(()))),
        "here it is 0",
    ),
    (
        "step 0's share at the end",
        ddim(shares=lambda bar, k, p: (bar[k], bar[max(p, 0)])),
        "that of step 0",
    ),
    (
        "cut off at the end alone",
        lambda *given: ddim_step(*given).clamp(-1, 1) if given[2] < 0 else ddim_step(*given),
        "leave it as it is",
    ),
    (
        "guess and chunk swapped",
        lambda e, k, p, a, bar: ddim_step(a, k, p, e, bar),
        "prediction and chunk are swapped",
    ),
    ("DDPM's mean", ddpm_mean, "DDPM's mean"),
    ("the notebook's own schedule", of_the_notebook, "the notebook's own"),
    (
        "alpha_bar not indexed",
        lambda e, k, p, a, bar: ddim_step(e, k, p, a, bar)[None],
        "alpha_bar[k] is one number",
    ),
    ("chunk changed", changes_the_chunk, "work out a new tensor"),
    ("numpy", lambda *given: ddim_step(*given).numpy(), "a tensor is needed"),
    ("not answered", not_answered, "ot answered yet"),
)


# E4.1, the midpoint rule.


def midpoint_step(velocity, state, a_tau, tau, h):
    """In two halves, both with the velocity of the middle."""
    slope = velocity(
        state, torch.add(a_tau, velocity(state, a_tau, tau), alpha=0.5 * h), tau.add(0.5 * h)
    )
    return a_tau + slope * h / 2 + slope * h / 2


def without_names(v, s, a, t, h):
    return a + h * v(s, a + v(s, a, t) * (h / 2), t + torch.full_like(t, h / 2))


def rule(middle=0.5, at=0.5, last=lambda a, half, first, second, h: a + h * second):
    """The rule in which the way to the middle, its time and the last step can be others."""

    def answer(velocity, state, a_tau, tau, h):
        first = velocity(state, a_tau, tau)
        half = a_tau + middle * h * first
        return last(a_tau, half, first, velocity(state, half, tau + at * h), h)

    return answer


def three_times(velocity, state, a_tau, tau, h):
    velocity(state, a_tau, tau)
    return midpoint_step(velocity, state, a_tau, tau, h)


def two_euler_steps(velocity, state, a, tau, h):
    for i in range(2):
        a = a + h / 2 * velocity(state, a, tau + i * h / 2)
    return a


def step_in_place(velocity, state, a_tau, tau, h):
    a_tau += h * velocity(state, a_tau + h / 2 * velocity(state, a_tau, tau), tau + h / 2)
    return a_tau


WRONG_MIDPOINT = table(
    ("Euler", lambda v, s, a, t, h: a + h * v(s, a, t), "divides the error by 2.0"),
    ("Euler, named", lambda v, s, a, t, h: a + h * v(s, a, t), "this is Euler's step"),
    ("half of Euler's", lambda v, s, a, t, h: a + h / 2 * v(s, a, t), "half of Euler's step"),
    (
        "Heun",
        rule(1, 1, lambda a, half, first, second, h: a + h * (first + second) / 2),
        "Heun's rule, of second order too",
    ),
    ("second at tau", rule(at=0), "the second velocity is evaluated at tau:"),
    ("second at tau + h", rule(at=1), "evaluated at tau + h:"),
    ("second at a", rule(middle=0), "evaluated at a itself"),
    ("first step whole", rule(middle=1), "the first step goes all the way"),
    ("velocity of the end", rule(1, 1), "the velocity at the end"),
    (
        "mean of both",
        rule(last=lambda a, half, first, second, h: a + h * (first + second) / 2),
        "the mean of both velocities",
    ),
    (
        "whole step from the middle",
        rule(last=lambda a, half, first, second, h: half + h * second),
        "starts at a, not in the middle",
    ),
    ("two Euler steps", two_euler_steps, "as two Euler steps of h / 2 do"),
    (
        "half a last step",
        rule(last=lambda a, half, first, second, h: a + h / 2 * second),
        "the last step is h",
    ),
    (
        "no h in the last step",
        rule(last=lambda a, half, first, second, h: a + second),
        "h is left out in the last step",
    ),
    ("sign", rule(last=lambda a, half, first, second, h: a - h * second), "add the velocity"),
    (
        "velocity returned",
        rule(last=lambda a, half, first, second, h: second),
        "this is the velocity",
    ),
    ("change returned", rule(last=lambda a, half, first, second, h: h * second), "add it to a"),
    (
        "no h to the middle",
        lambda v, s, a, t, h: a + h * v(s, a + v(s, a, t) / 2, t + h / 2),
        "h is left out on the way",
    ),
    ("three questions", three_times, "called 3 times"),
    ("tau a number", lambda v, s, a, t, h: a + h * v(s, a, float(t[0]) + h / 2), "type float"),
    ("tau a column", lambda v, s, a, t, h: a + h * v(s, a, t[:, None, None]), "a tau of shape"),
    ("state and chunks swapped", lambda v, s, a, t, h: a + h * v(a, s, t), "in this order"),
    ("argument changed", step_in_place, "changes the caller's"),
    ("flat", lambda *given: midpoint_step(*given).flatten(1), "of the same shape"),
    ("numpy", lambda *given: midpoint_step(*given).numpy(), "a tensor is needed"),
    ("nothing returned", lambda *given: None, "returned a NoneType"),
    ("not answered", not_answered, "ot answered yet"),
)

RIGHT_ANGLE = table(
    ("joined", encode_angle),
    ("filled in, float32", filled_in),
    ("complex numbers", by_complex_numbers),
    (
        "angle within a turn first",
        four_then(lambda a: np.sin(a % (2 * np.pi)), lambda a: np.cos(a - 2 * np.pi)),
    ),
)
RIGHT_ENSEMBLE = table(
    ("softmax", ensemble),
    ("one by one, float64", one_by_one),
    ("counted from 1", weighted(lambda i, m: torch.exp(-m * (i + 1)))),
    ("with gradients", lambda predictions, m: ensemble(predictions.requires_grad_(), m)),
)
RIGHT_DDIM = table(
    ("rearranged", ddim_step),
    ("padded", padded),
    ("step by step", ddim()),
    (
        "with gradients",
        lambda epsilon, k, k_prev, a_k, bar: ddim_step(
            epsilon, k, k_prev, a_k.requires_grad_(), bar
        ),
    ),
)
RIGHT_MIDPOINT = table(
    ("two halves", midpoint_step),
    ("in one line", without_names),
    ("step by step", rule()),
)


# E2.1, the divergence averaged over the batch.


def of_each(mu, logvar):
    return -0.5 * (1 + logvar - mu**2 - logvar.exp()).sum(dim=1)


def mean_kl(mu, logvar):
    return of_each(mu, logvar).mean()


def normal_kl(mu, logvar):
    normal = torch.distributions.Normal
    own, standard = normal(mu, (logvar / 2).exp()), normal(0.0, 1.0)
    return torch.distributions.kl_divergence(own, standard).sum(1).mean()


WRONG_MEAN_KL = table(
    ("summed", lambda mu, logvar: of_each(mu, logvar).sum(), "it is summed over the batch"),
    (
        "averaged over everything",
        lambda mu, logvar: of_each(mu, logvar).mean() / mu.shape[1],
        "averaged over the latent dimensions too",
    ),
    (
        "the wrong way round",
        lambda mu, logvar: of_each(mu, logvar).sum() / mu.shape[1],
        "sum and mean are swapped",
    ),
    ("by 256", lambda mu, logvar: of_each(mu, logvar).sum() / 256, "divided by 256"),
    ("of each sample", of_each, "the mean over the batch"),
    (
        "of each dimension",
        lambda mu, logvar: -0.5 * (1 + logvar - mu**2 - logvar.exp()).mean(dim=0),
        "the sum over the latent dimensions",
    ),
    ("without the half", lambda mu, logvar: 2 * mean_kl(mu, logvar), "the half is missing"),
    ("negative", lambda mu, logvar: -mean_kl(mu, logvar), "the sign is flipped"),
    (
        "sigma for logvar",
        lambda mu, logvar: mean_kl(mu, 2 * logvar),
        "logvar is taken for log sigma",
    ),
    ("detached", lambda mu, logvar: mean_kl(mu, logvar).detach(), "no gradient reaches"),
    ("not answered", unanswered("E2.1"), "ot answered yet"),
)
RIGHT_MEAN_KL = table(
    ("mean of sums", mean_kl),
    ("torch.distributions", normal_kl),
    (
        "sum divided by the batch",
        lambda mu, logvar: 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum() / mu.size(0),
    ),
)

# E4.2, the actions that are executed.


def too_short(chunk, action_horizon, obs_horizon):
    return obs_horizon - 1 + action_horizon > chunk.shape[1]


def cut(part_of, checked=True):
    """An answer that returns part_of(chunk, action_horizon, obs_horizon)."""

    def answer(chunk, action_horizon, obs_horizon=1):
        if checked and too_short(chunk, action_horizon, obs_horizon):
            raise ValueError("too short")
        return part_of(chunk, action_horizon, obs_horizon)

    return answer


executed = cut(lambda chunk, ta, to: chunk[:, to - 1 : to - 1 + ta])


def taken(chunk, action_horizon, obs_horizon=1):
    steps = obs_horizon - 1 + np.arange(action_horizon)
    try:
        return np.take(chunk, steps, axis=1)
    except IndexError as error:
        raise ValueError("too short") from error


def asserts_its_shape(chunk, action_horizon, obs_horizon=1):
    rest = chunk[:, obs_horizon - 1 :, :][:, :action_horizon, :]
    if rest.shape[1] != action_horizon:
        raise ValueError(f"{action_horizon} actions are more than {rest.shape[1]}.")
    return rest


def stacked(chunk, action_horizon, obs_horizon=1):
    if too_short(chunk, action_horizon, obs_horizon):
        raise ValueError
    return np.stack([chunk[:, obs_horizon - 1 + i] for i in range(action_horizon)], axis=1)


def through_torch(chunk, action_horizon, obs_horizon=1):
    if too_short(chunk, action_horizon, obs_horizon):
        raise ValueError("too short")
    return torch.from_numpy(chunk).narrow(1, obs_horizon - 1, action_horizon).clone().numpy()


def zeroes_the_past(chunk, action_horizon, obs_horizon=1):
    found = executed(chunk, action_horizon, obs_horizon).copy()
    chunk[:, : obs_horizon - 1 + action_horizon] = 0
    return found


RIGHT_EXECUTED = table(
    ("a slice", executed),
    ("np.take", taken),
    ("twice cut, shape compared", asserts_its_shape),
    ("stacked", stacked),
    ("torch.narrow", through_torch),
)
WRONG_EXECUTED = table(
    ("from 0", cut(lambda chunk, ta, to: chunk[:, :ta]), "begin there, not at 0"),
    ("from obs_horizon", cut(lambda chunk, ta, to: chunk[:, to : to + ta]), "one earlier"),
    ("to action_horizon", cut(lambda chunk, ta, to: chunk[:, to - 1 : ta]), "counts from the"),
    ("from the beginning", cut(lambda chunk, ta, to: chunk[:, : to - 1 + ta]), "begin there"),
    ("to the end", cut(lambda chunk, ta, to: chunk[:, to - 1 :]), "action_horizon is left out"),
    ("all", cut(lambda chunk, ta, to: chunk), "the whole chunk"),
    ("the last", cut(lambda chunk, ta, to: chunk[:, -ta:]), "the last actions"),
    ("one too many", cut(lambda chunk, ta, to: chunk[:, to - 1 : to + ta]), "one too many"),
    ("one missing", cut(lambda chunk, ta, to: chunk[:, to - 1 : to + ta - 2]), "counts from"),
    ("reversed", cut(lambda chunk, ta, to: executed(chunk, ta, to)[:, ::-1]), "reversed"),
    ("of the batch", cut(lambda chunk, ta, to: chunk[to - 1 : to - 1 + ta]), "is the batch"),
    ("first sample", cut(lambda chunk, ta, to: chunk[0, to - 1 : to - 1 + ta]), "alone"),
    (
        "of the coordinates",
        cut(lambda chunk, ta, to: chunk[..., to - 1 : to - 1 + ta]),
        "the coord",
    ),
    (
        "never raises",
        cut(lambda chunk, ta, to: chunk[:, to - 1 : to - 1 + ta], checked=False),
        "no ValueError was raised",
    ),
    (
        "raises at the end",
        lambda chunk, ta, to=1: executed(chunk, ta + 0 * executed(chunk, ta + 1, to).size, to),
        "> and not >=",
    ),
    (
        "an assertion",
        lambda chunk, ta, to=1: executed(chunk, ta, to) if not too_short(chunk, ta, to) else 1 / 0,
        "ZeroDivisionError",
    ),
    (
        "obs_horizon forgotten when comparing",
        lambda chunk, ta, to=1: (
            chunk[:, to - 1 : to - 1 + ta] if ta <= chunk.shape[1] else taken(chunk, ta)
        ),
        "no ValueError was raised",
    ),
    ("a list", cut(lambda chunk, ta, to: executed(chunk, ta, to).tolist()), "an array is needed"),
    ("argument changed", zeroes_the_past, "assign into nothing"),
    ("two arguments", lambda chunk, ta: executed(chunk, ta), "leave the function's name"),
    ("not answered", unanswered("E4.2"), "ot answered yet"),
)

# E1.4, how far the policy drifts.


def distance(
    turn=lambda t: (t + np.pi) % (2 * np.pi) - np.pi,
    of_turn=lambda t, radius: (radius * t) ** 2,
    of_places=lambda d: (d**2).sum(axis=-1),
    root=np.sqrt,
    nearest=lambda each: each.min(axis=1),
):
    """The answer in which one thing can be another."""

    def answer(states, demonstrated, radius):
        difference = states[:, None] - demonstrated
        squares = of_places(difference[..., :4]) + of_turn(turn(difference[..., 4]), radius)
        return nearest(root(squares))

    return answer


nearest_distance = distance()


def in_a_loop(states, demonstrated, radius):
    found = []
    for state in states:
        turn = np.abs(state[4] - demonstrated[:, 4]) % (2 * np.pi)
        turn = np.minimum(turn, 2 * np.pi - turn)
        parts = np.column_stack([state[:4] - demonstrated[:, :4], radius * turn])
        found.append(np.linalg.norm(parts, axis=1).min())
    return np.array(found)


def by_arctan(states, demonstrated, radius):
    turn = states[:, None, 4] - demonstrated[None, :, 4]
    turn = np.arctan2(np.sin(turn), np.cos(turn))
    places = np.linalg.norm(states[:, None, :4] - demonstrated[None, :, :4], axis=2)
    return np.hypot(places, radius * turn).min(axis=-1).astype(np.float32)


def by_cosine(states, demonstrated, radius):
    squares = ((states[:, None, :4] - demonstrated[:, :4]) ** 2).sum(-1)
    turn = np.arccos(np.clip(np.cos(states[:, None, 4] - demonstrated[:, 4]), -1, 1))
    return np.sqrt(np.min(squares + radius**2 * turn**2, axis=-1))


def by_scipy(states, demonstrated, radius):
    """Among copies of the demonstrated states a turn before and a turn after."""
    from scipy.spatial import cKDTree

    scale = np.array([1, 1, 1, 1, radius])
    full = np.array([0, 0, 0, 0, 2 * np.pi])
    copies = np.concatenate([demonstrated - full, demonstrated, demonstrated + full])
    return cKDTree(copies * scale).query(states * scale)[0]


def of_all(states, demonstrated, radius):
    return distance(nearest=lambda each: each)(states, demonstrated, radius)


def changes_states(states, demonstrated, radius):
    states[:, 4] %= np.pi
    return nearest_distance(states, demonstrated, radius)


WRONG_DISTANCE = table(
    ("angle as it is", distance(turn=lambda t: t), "the shorter way"),
    ("remainder alone", distance(turn=lambda t: t % (2 * np.pi)), "after the remainder"),
    (
        "nothing added before",
        distance(turn=lambda t: t % (2 * np.pi) - np.pi),
        "added before and taken away",
    ),
    (
        "nothing taken away",
        distance(turn=lambda t: (t + np.pi) % (2 * np.pi)),
        "added before and taken away",
    ),
    (
        "a turn of 180 degrees",
        distance(turn=lambda t: (t + np.pi / 2) % np.pi - np.pi / 2),
        "after 2π, not after π",
    ),
    ("no radius", distance(of_turn=lambda t, r: t**2), "radius is left out"),
    ("divided by radius", distance(of_turn=lambda t, r: (t / r) ** 2), "or divided by radius"),
    ("radius not squared", distance(of_turn=lambda t, r: r * t**2), "square their product"),
    ("degrees", distance(of_turn=lambda t, r: (r * np.rad2deg(t)) ** 2), "no degrees"),
    ("no angle", distance(of_turn=lambda t, r: 0 * t), "the angle is left out"),
    (
        "no block",
        lambda s, d, r: distance(of_turn=lambda t, r: 0 * t)(
            s * [1, 1, 0, 0, 0], d * [1, 1, 0, 0, 0], r
        ),
        "the block is left out",
    ),
    (
        "no agent",
        lambda s, d, r: nearest_distance(s * [0, 0, 1, 1, 1], d * [0, 0, 1, 1, 1], r),
        "the agent is left out",
    ),
    ("no root", distance(root=lambda squares: squares), "the root is missing"),
    ("mean", distance(nearest=lambda each: each.mean(axis=1)), "the nearest counts"),
    ("farthest", distance(nearest=lambda each: each.max(axis=1)), "the farthest"),
    ("first", distance(nearest=lambda each: each[:, 0]), "the first demonstrated state"),
    (
        "absolute differences",
        distance(
            of_places=lambda d: np.abs(d).sum(-1),
            of_turn=lambda t, r: np.abs(r * t),
            root=lambda sums: sums,
        ),
        "the sum of the absolute differences",
    ),
    (
        "mean of the squares",
        lambda s, d, r: nearest_distance(s, d, r) / 5**0.5,
        "the mean of the squares",
    ),
    ("all distances", of_all, "take the minimum over axis=1"),
    (
        "over the states",
        distance(nearest=lambda each: each.min(axis=0)),
        "belong to the demonstrated states",
    ),
    ("one number", distance(nearest=lambda each: each.min()), "one number came for all states"),
    (
        "dimension kept",
        distance(nearest=lambda each: each.min(axis=1, keepdims=True)),
        "leave out keepdims",
    ),
    ("number of the nearest", distance(nearest=lambda each: each.argmin(axis=1)), "np.argmin"),
    (
        "one by one",
        lambda s, d, r: np.sqrt(((s - d)[:, :4] ** 2).sum(1)),
        "has the shape (T, N, 5)",
    ),
    (
        "state by state",
        lambda s, d, r: np.diagonal(of_all(s, d, r)) if len(s) == len(d) else in_a_loop(s, d, r),
        "compared one by one",
    ),
    ("a list", lambda s, d, r: list(nearest_distance(s, d, r)), "a numpy array is needed"),
    ("argument changed", changes_states, "are changed"),
    ("nothing returned", lambda s, d, r: None, "returned a NoneType"),
    ("not answered", unanswered("E1.4"), "ot answered yet"),
)
RIGHT_DISTANCE = table(
    ("broadcast", nearest_distance),
    ("in a loop", in_a_loop),
    ("arctan2, float32", by_arctan),
    ("arccos", by_cosine),
    ("a tree, with copies", by_scipy),
)


# E1.5, DAgger.


def relabelled(states, actions, times, expert):
    seen = np.stack([states[times - 1], states[times]], axis=1)
    return seen, np.concatenate([actions[times - 1, None], expert(seen)], axis=1)


def relabelling(seen=None, asked=lambda seen: seen, first=lambda a, t: a[t - 1], rest=None):
    """The answer in which one thing can be another."""

    def answer(states, actions, times, expert):
        right = np.stack([states[times - 1], states[times]], axis=1)
        pairs = seen(states, times) if seen else right
        said = rest(actions, times, expert(right)) if rest else expert(asked(right))
        return pairs, np.concatenate([first(actions, times)[:, None], said], axis=1)

    return answer


def with_indices(states, actions, times, expert):
    observations = states[times[:, None] + np.array([-1, 0])]
    chunks = np.empty((len(times), 16, 2))
    chunks[:, 0], chunks[:, 1:] = actions[times - 1], expert(observations)
    return [observations, chunks]


def time_by_time(states, actions, times, expert):
    seen = np.array([states[t - 1 : t + 1] for t in times])
    chunks = [np.vstack([actions[t - 1], expert(one[None])[0]]) for t, one in zip(times, seen)]
    return seen, np.array(chunks)


def by_zip(states, actions, times, expert):
    pairs = np.array(list(zip(states[:-1], states[1:])))[times - 1]
    return pairs.astype(np.float32), np.hstack([actions[times - 1][:, None, :], expert(pairs)])


def own_actions(states, actions, times, expert):
    seen = np.stack([states[times - 1], states[times]], axis=1)
    steps = np.minimum(times[:, None] + np.arange(-1, 15), len(actions) - 1)
    return seen, actions[steps]


def pair(first, second):
    return relabelling(
        lambda states, times: np.stack(
            [states[(times + first) % len(states)], states[(times + second) % len(states)]], axis=1
        )
    )


def changes_actions(states, actions, times, expert):
    actions[times - 1] += 1
    return relabelled(states, actions, times, expert)


WRONG_RELABELLED = table(
    ("the policy's own actions", own_actions, "the policy's own actions"),
    ("observations swapped", pair(0, -1), "the older one comes first"),
    ("one step late", pair(0, 1), "one step late"),
    ("one step late and swapped", pair(1, 0), "one step late"),
    ("the same twice", pair(0, 0), "both are the same state"),
    ("the state before twice", pair(-1, -1), "both are the state before"),
    ("one step early", pair(-2, -1), "one step early"),
    ("two steps apart", pair(-2, 0), "there is a step between them"),
    (
        "first action a step late",
        relabelling(first=lambda a, t: a[t % len(a)]),
        "begins at the time of the first observation",
    ),
    (
        "first action zero",
        relabelling(first=lambda a, t: 0 * a[t - 1]),
        "it is zero",
    ),
    (
        "the expert's first action twice",
        lambda s, a, t, e: (
            relabelled(s, a, t, e)[0],
            e(relabelled(s, a, t, e)[0])[:, [0, *range(15)]],
        ),
        "stands there twice",
    ),
    (
        "the expert's alone",
        lambda s, a, t, e: (relabelled(s, a, t, e)[0], relabelled(s, a, t, e)[1][:, 1:]),
        "the one that the policy had just taken",
    ),
    (
        "the policy's action last",
        lambda s, a, t, e: (
            relabelled(s, a, t, e)[0],
            np.roll(relabelled(s, a, t, e)[1], -1, axis=1),
        ),
        "comes first, before the expert's",
    ),
    (
        "expert sees them swapped",
        relabelling(asked=lambda seen: seen[:, ::-1]),
        "in the other order",
    ),
    ("expert sees one state", relabelling(asked=lambda seen: seen[:, 1]), "(M, 2, 5) is needed"),
    (
        "expert sees a list",
        relabelling(asked=lambda seen: seen.tolist()),
        "a numpy array of the observations",
    ),
    (
        "joined along the windows",
        lambda s, a, t, e: (
            relabelled(s, a, t, e)[0],
            np.concatenate([a[t - 1, None].repeat(15, axis=1), e(relabelled(s, a, t, e)[0])]),
        ),
        "join along the steps",
    ),
    (
        "backwards",
        relabelling(rest=lambda a, t, said: said[:, ::-1]),
        "in the wrong order",
    ),
    (
        "one label for all",
        relabelling(rest=lambda a, t, said: said[:1].repeat(len(t), axis=0)),
        "the first one's label",
    ),
    (
        "one action repeated",
        relabelling(rest=lambda a, t, said: said[:, :1].repeat(15, axis=1)),
        "the same single action",
    ),
    ("chunks alone", lambda *given: relabelled(*given)[1], "two arrays are needed"),
    (
        "lists",
        lambda *given: tuple(array.tolist() for array in relabelled(*given)),
        "a numpy array is needed",
    ),
    (
        "observations flat",
        lambda *given: (relabelled(*given)[0].reshape(-1, 10), relabelled(*given)[1]),
        "2, 5) is needed",
    ),
    ("argument changed", changes_actions, "What was handed over is changed"),
    ("not answered", unanswered("E1.5"), "ot answered yet"),
)
RIGHT_RELABELLED = table(
    ("stacked", relabelled),
    ("by indices, a list", with_indices),
    ("time by time", time_by_time),
    ("zipped, float32", by_zip),
    ("in steps", relabelling()),
)


# E4.3, more data, or better?


def split_episodes(episode_ends, count, generator):
    lengths = np.diff(episode_ends, prepend=0)
    episode = np.repeat(np.arange(len(lengths)), lengths)
    training = np.isin(episode, generator.permutation(len(lengths))[:count])
    return np.flatnonzero(training), np.flatnonzero(~training)


def splitting(
    draw=lambda generator, n, count: generator.permutation(n)[:count],
    of=lambda ends: np.searchsorted(ends, np.arange(ends[-1]), side="right"),
):
    """The answer in which one thing can be another."""

    def answer(episode_ends, count, generator):
        training = np.isin(of(episode_ends), draw(generator, len(episode_ends), count))
        return np.flatnonzero(training), np.flatnonzero(~training)

    return answer


def by_ranges(episode_ends, count, generator):
    starts = [0, *episode_ends[:-1].tolist()]
    order = generator.permutation(len(starts)).tolist()

    def steps(episodes):
        ranges = [range(starts[i], int(episode_ends[i])) for i in sorted(episodes)]
        return np.array([step for one in ranges for step in one], dtype=np.int64)

    return steps(order[:count]), steps(order[count:])


def by_a_mask(episode_ends, count, generator):
    mask = np.zeros(episode_ends[-1], dtype=bool)
    for i in generator.choice(len(episode_ends), size=count, replace=False):
        mask[(episode_ends[i - 1] if i else 0) : episode_ends[i]] = True
    return [*map(np.flatnonzero, (mask, np.logical_not(mask)))]


def by_shuffling(episode_ends, count, generator):
    chosen = np.arange(len(episode_ends)) < count
    generator.shuffle(chosen)
    steps, every = np.split(np.arange(episode_ends[-1]), episode_ends[:-1]), np.arange
    training = np.concatenate([each for each, mine in zip(steps, chosen) if mine])
    return training.astype(np.int32), np.setdiff1d(every(episode_ends[-1]), training)


def by_steps(episode_ends, count, generator):
    order = generator.permutation(episode_ends[-1])
    share = count * episode_ends[-1] // len(episode_ends)
    return np.sort(order[:share]), np.sort(order[share:])


def by_a_cut(episode_ends, count, generator):
    first = count * int(episode_ends[-1]) // len(episode_ends)
    start = int(generator.integers(episode_ends[-1]))
    steps = (start + np.arange(episode_ends[-1])) % episode_ends[-1]
    return np.sort(steps[:first]), np.sort(steps[first:])


def other(change):
    """The right answer, changed."""
    return lambda ends, count, generator: change(*split_episodes(ends, count, generator))


def first_ones(generator, n, count):
    return np.arange(count)


def changes_ends(episode_ends, count, generator):
    found = split_episodes(episode_ends, count, generator)
    episode_ends -= 1
    return found


WRONG_SPLIT = table(
    ("by steps", by_steps, "draw episodes and not steps"),
    ("by a cut", by_a_cut, "draw episodes and not steps"),
    ("the first ones", splitting(draw=first_ones), "Every call gives the same split"),
    (
        "never the last",
        splitting(draw=lambda g, n, count: g.permutation(n - 1)[:count]),
        "is never one of training",
    ),
    (
        "always the first",
        splitting(draw=lambda g, n, count: [0, *(1 + g.permutation(n - 1)[: count - 1])]),
        "is always one of training",
    ),
    (
        "with replacement",
        splitting(draw=lambda g, n, count: g.integers(n, size=count)),
        "count is the number of episodes",
    ),
    (
        "another generator",
        splitting(draw=lambda g, n, count: np.random.permutation(n)[:count]),
        "draw with the generator that is handed over",
    ),
    (
        "a seed of its own",
        splitting(draw=lambda g, n, count: np.random.default_rng(0).permutation(n)[:count]),
        "Every call gives the same split",
    ),
    (
        "one step late",
        splitting(of=lambda ends: np.searchsorted(ends, np.arange(ends[-1]), side="left")),
        "one past the last step",
    ),
    ("swapped", other(lambda training, validation: (validation, training)), "are swapped"),
    (
        "one more",
        lambda ends, count, g: split_episodes(ends, count + 1, g),
        "count is the number of episodes for training",
    ),
    (
        "a share of the steps",
        lambda ends, count, g: split_episodes(ends, max(1, count // 2), g),
        "count is the number of episodes for training",
    ),
    (
        "all for validation",
        lambda ends, count, g: (split_episodes(ends, count, g)[0], np.arange(ends[-1])),
        "no step may be in both",
    ),
    (
        "numbers of the episodes",
        lambda ends, count, g: tuple(np.split(g.permutation(len(ends)), [count])),
        "not the numbers of the episodes",
    ),
    (
        "last steps alone",
        lambda ends, count, g: tuple(
            np.sort(ends[part] - 1) for part in np.split(g.permutation(len(ends)), [count])
        ),
        "all steps of each episode",
    ),
    (
        "last steps left out",
        other(lambda training, validation: (training[:-1], validation)),
        "all steps of each episode",
    ),
    (
        "twice",
        other(lambda training, validation: (np.repeat(training, 2), validation)),
        "each step once",
    ),
    (
        "no validation",
        other(lambda training, validation: (training, validation[:0])),
        "every episode belongs to one of the two",
    ),
    (
        "out of order",
        other(lambda training, validation: (training[::-1], validation)),
        "sort them",
    ),
    (
        "counted from 1",
        other(lambda training, validation: (training + 1, validation + 1)),
        "the last step is episode_ends[-1] - 1",
    ),
    (
        "masks",
        lambda ends, count, g: (np.ones(ends[-1], bool), np.zeros(ends[-1], bool)),
        "np.flatnonzero",
    ),
    ("lists", other(lambda *steps: tuple(map(list, steps))), "an array is needed"),
    ("training alone", other(lambda training, validation: training), "two arrays are needed"),
    ("torch's generator", splitting(draw=lambda g, n, c: g.randperm(n)[:c]), "numpy's"),
    ("argument changed", changes_ends, "episode_ends is changed"),
    ("not answered", unanswered("E4.3"), "ot answered yet"),
)
RIGHT_SPLIT = table(
    ("repeated numbers", split_episodes),
    ("searchsorted", splitting()),
    ("ranges", by_ranges),
    ("a mask, choice, a list", by_a_mask),
    ("shuffled flags, int32", by_shuffling),
)

WRONG = {
    "E1.1": WRONG_ANGLE,
    "E1.2": WRONG_ENSEMBLE,
    "E1.3": WRONG_PAIRED,
    "E2.1": WRONG_MEAN_KL,
    "E2.2": WRONG_MODES,
    "E3.1": WRONG_DDIM,
    "E4.1": WRONG_MIDPOINT,
    "E4.2": WRONG_EXECUTED,
    "E1.4": WRONG_DISTANCE,
    "E1.5": WRONG_RELABELLED,
    "E4.3": WRONG_SPLIT,
}
RIGHT = {
    "E1.1": RIGHT_ANGLE,
    "E1.2": RIGHT_ENSEMBLE,
    "E1.3": RIGHT_PAIRED,
    "E2.1": RIGHT_MEAN_KL,
    "E2.2": RIGHT_MODES,
    "E3.1": RIGHT_DDIM,
    "E4.1": RIGHT_MIDPOINT,
    "E4.2": RIGHT_EXECUTED,
    "E1.4": RIGHT_DISTANCE,
    "E1.5": RIGHT_RELABELLED,
    "E4.3": RIGHT_SPLIT,
}

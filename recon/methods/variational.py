"""Variational reconstruction with a 2D diffusion prior on random slices of all three planes (paper A, section 4.1).

Minimises ``½‖Ax − y‖² + λ E[R(s)]`` over slices s of x. Without the network's Jacobian, the gradient of the
regulariser with w = σ_t/α_t on one slice is ``α_t (s − D(s + σ n, σ))``, where D is the denoiser and σ = σ_t/α_t the
noise-to-signal ratio: for a noise predictor ``ε̂ − ε = α_t (s − D) / σ_t``, so that ``w α_t (ε̂ − ε)`` becomes just that.
Every form of prior therefore enters through its denoiser.
"""

from collections.abc import Callable
from typing import Literal

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from recon.diffusion import Prior, noise_like, planes
from recon.fields.voxels import Voxels
from recon.methods.common import Callback, Count, NonNegative, Planes, Positive, Timestep, clean_estimate, ignore, settings
from recon.progress import track
from recon.sense import Problem, conjugate_gradient, inner


@settings
class VariationalSettings:
    """Paper A: 200 iterations of Adam, uniform t up to 0.4 T, 50 slices per axis in slabs of 5. Its λ and rate belong to its own scaling
    (a rate of 2, mean losses); ours to that of `Problem`.

    In short runs a rate that is halved where the noisy data term stalls ends high or low by chance, and with it the volume, by up to a
    decibel; a linear decay does not.
    """

    weight: Positive = 0.05  # λ, in the scale of `Problem`, relative to the data term ½‖Ax − y‖²
    iterations: Count = 200
    learning_rate: Positive = 0.05
    decay: Literal["plateau", "linear"] = "plateau"  # of the rate: halved where the data term stalls (paper A), or down to 0 at the end
    patience: Count = 20  # iterations without a fall of the data term that count as a stall
    schedule: Literal["uniform", "annealed"] = "uniform"
    t_max: Timestep = 400.0
    t_min: Timestep = 1.0
    slices: Count = 50  # per axis and iteration
    slab: Count = 5  # neighbouring slices drawn together
    planes: Planes = 3
    seed: int = 0


def random_slabs(size: int, slices: int, slab: int, generator: torch.Generator) -> Int[Tensor, "n"]:
    """Indices of about ``slices`` of ``size`` positions: random, disjoint runs of ``slab`` neighbours."""
    if slices >= size:
        return torch.arange(size)
    slab = min(slab, slices)
    offset = int(torch.randint(slab, (1,), generator=generator))
    starts = torch.arange(-offset, size, slab)
    chosen = starts[torch.randperm(len(starts), generator=generator)[: max(1, round(slices / slab))]]
    index = (chosen[:, None] + torch.arange(slab)).flatten()
    return index[(index >= 0) & (index < size)]


def timesteps(settings: VariationalSettings, iteration: int, count: int, generator: torch.Generator) -> Float[Tensor, "n"]:
    """One timestep per slice: uniform in [t_min, t_max], or falling geometrically from t_max to t_min (annealed)."""
    if settings.schedule == "uniform":
        return settings.t_min + (settings.t_max - settings.t_min) * torch.rand(count, generator=generator)
    part = iteration / max(1, settings.iterations - 1)
    return torch.full((count,), settings.t_max * (settings.t_min / settings.t_max) ** part)


def regulariser(
    slices: Float[Tensor, "n 2 h w"], prior: Prior, t: Float[Tensor, "n"], generator: torch.Generator
) -> Float[Tensor, "n 2 h w"]:
    """Gradient ``α_t (s − D(s + σ n, σ))`` of the regulariser on each slice."""
    sigma = torch.tensor([prior.sigma(float(step)) for step in t], device=slices.device)
    level = sigma.view(-1, 1, 1, 1)
    noise = torch.randn(slices.shape, generator=generator).to(slices.device)
    return (1 + level**2).rsqrt() * (slices - prior.denoise(slices + level * noise, sigma))


def variational(
    problem: Problem,
    prior: Prior,
    settings: VariationalSettings = VariationalSettings(),
    callback: Callback = ignore,
    field: Callable[[Complex[Tensor, "x y z"]], torch.nn.Module] = Voxels,
) -> Complex[Tensor, "x y z"]:
    """Paper A's method: Adam on the field's parameters, from the zero-filled volume, which stays zero where no coil sees.

    Per iteration and axis, ``slices`` random slices are regularised; their gradient is weighted by (axis length)/(planes × slices),
    so that λ does not depend on how many are drawn.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    axes, energy = planes(problem.operator.shape)[-settings.planes :], 0.5 * float(problem.kspace.abs().square().sum())
    model, support = field(problem.rhs), problem.operator.support
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
    decay = rate_decay(optimizer, settings)
    for iteration in track(range(settings.iterations), "variational"):
        optimizer.zero_grad()
        volume = support * model.volume()
        gradient = problem.gradient(volume.detach())
        for axis in axes:
            size = problem.operator.shape[axis]
            index = random_slabs(size, settings.slices, settings.slab, generator)
            index = index.to(volume.device)
            slices = model.slices(axis, index) * support.index_select(axis, index).movedim(axis, 0)[:, None]
            t = timesteps(settings, iteration, len(index), generator)
            pull = settings.weight * size / (len(axes) * len(index)) * regulariser(slices.detach(), prior, t, generator)
            slices.backward(pull)
        data_term = energy + 0.5 * float(inner(volume.detach(), gradient - problem.rhs))  # ½‖Ax − y‖², from what is at hand
        torch.view_as_real(volume).backward(torch.view_as_real(gradient))
        optimizer.step()
        decay(data_term)
        callback(iteration, volume.detach())
    return (support * model.volume()).detach()


def rate_decay(optimizer: torch.optim.Optimizer, settings: VariationalSettings) -> Callable[[float], None]:
    """What lowers the rate, called after every iteration with its data term."""
    if settings.decay == "linear":
        linear = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, settings.iterations)
        return lambda data_term: linear.step()
    return torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, factor=0.5, patience=settings.patience).step


@settings
class AnnealedSettings:
    """Our solver: every step denoises one whole plane orientation at a falling noise level, then solves the data term."""

    weight: Positive = 0.3  # trust in the prior relative to the noise of the data
    steps: Count = 24
    t_max: Timestep = 100.0
    t_min: Timestep = 4.0
    churn: NonNegative = 0.0  # fresh noise before denoising, relative to the step's level; 0 takes the error itself for the noise
    cg_iterations: Count = 8
    noise_floor: Positive = 0.01  # smallest noise level assumed of the data, which keeps the data step well conditioned
    planes: Planes = 3
    seed: int = 0


def annealed(
    problem: Problem, prior: Prior, settings: AnnealedSettings = AnnealedSettings(), callback: Callback = ignore
) -> Complex[Tensor, "x y z"]:
    """Variational reconstruction by half-quadratic splitting: a data step solved to near exactness, and annealed noise levels.

    Step k: ``x0_hat = D(x + churn σ_k n, σ_k)`` on all slices of one axis, the axes taking turns, then
    ``(AᴴA + γ_k) x = Aᴴy + γ_k x0_hat`` by conjugate gradients with ``γ_k = weight (noise / σ_k)²``; σ_k follows t_k, geometric from
    t_max to t_min (cf. DiffPIR, Zhu et al. 2023).
    """
    generator = torch.Generator().manual_seed(settings.seed)
    noise = max(problem.noise, settings.noise_floor)
    axes = planes(problem.operator.shape)[-settings.planes :]
    x = cg_start(problem, settings.cg_iterations)
    for k in track(range(settings.steps), "annealed"):
        t = settings.t_max * (settings.t_min / settings.t_max) ** (k / max(1, settings.steps - 1))
        sigma, axis = prior.sigma(t), axes[k % len(axes)]
        noisy = x + settings.churn * sigma * noise_like(x, generator)
        x0_hat = clean_estimate(problem, prior, noisy, sigma, axis)
        gamma = settings.weight * (noise / sigma) ** 2
        x = data_step(problem, x0_hat, gamma, settings.cg_iterations)
        callback(k, x)
    return x


def data_step(problem: Problem, x0_hat: Complex[Tensor, "x y z"], gamma: float, iterations: int) -> Complex[Tensor, "x y z"]:
    """``argmin ‖Ax − y‖² + γ ‖x − x0_hat‖²`` by conjugate gradients started at ``x0_hat``."""
    return conjugate_gradient(lambda v: problem.operator.normal(v) + gamma * v, problem.rhs + gamma * x0_hat, x0_hat, iterations)


def cg_start(problem: Problem, iterations: int) -> Complex[Tensor, "x y z"]:
    """A few unregularised CG-SENSE iterations: a start with the right low frequencies."""
    return conjugate_gradient(problem.operator.normal, problem.rhs, torch.zeros_like(problem.rhs), iterations)

import pytest
import torch

from recon import ReconError
from recon.mri import fourier
from recon.mri.problem import Problem
from recon.mri.sense import Sense
from recon.mri.solvers import conjugate_gradient, inner
from tests.conftest import complex_normal

SHAPES = [(3, 6, 8, 10), (2, 5, 7, 9), (4, 8, 6, 1)]


def operator(shape, generator, **options):
    maps = complex_normal(*shape, generator=generator)
    mask = torch.rand(shape[2:], generator=generator) < 0.5
    mask[0, 0] = True
    return Sense(maps / maps.abs().square().sum(0).sqrt(), mask, **options)


@pytest.mark.parametrize("shape", SHAPES)
def test_adjoint(shape, generator):
    """⟨Ax, y⟩ = ⟨x, Aᴴy⟩."""
    A = operator(shape, generator)
    x, y = (
        complex_normal(*shape[1:], generator=generator),
        complex_normal(*shape, generator=generator),
    )
    forward, adjoint = A.forward(x), A.adjoint(y)
    assert forward.shape == y.shape and adjoint.shape == x.shape
    left, right = (
        torch.vdot(forward.flatten(), y.flatten()),
        torch.vdot(x.flatten(), adjoint.flatten()),
    )
    assert abs(left - right) < 1e-5 * forward.norm() * y.norm()


@pytest.mark.parametrize("shape", SHAPES)
def test_forward_is_the_definition(shape, generator):
    """y = M F S x, coil by coil."""
    A = operator(shape, generator)
    x = complex_normal(*shape[1:], generator=generator)
    expected = torch.stack([A.mask * fourier.fft(s * x) for s in A.maps])
    assert torch.allclose(A.forward(x), expected, atol=1e-5)


@pytest.mark.parametrize("shape", SHAPES)
def test_normal_is_adjoint_of_forward(shape, generator):
    A = operator(shape, generator)
    x = complex_normal(*shape[1:], generator=generator)
    assert torch.allclose(A.normal(x), A.adjoint(A.forward(x)), atol=1e-5)


def test_normal_is_a_contraction(generator):
    """For maps of unit norm, AᴴA is at most the identity; the step size of FISTA relies on this."""
    A = operator((3, 6, 8, 10), generator)
    x = complex_normal(6, 8, 10, generator=generator)
    assert A.normal(x).norm() <= x.norm()


def test_support_is_what_some_coil_sees(generator):
    maps = complex_normal(5, 6, 8, 10, generator=generator)
    maps[:, 2], maps[:4, :, 3] = 0, 0
    for chunk in (1, 1 << 20):
        support = Sense(maps, torch.ones(8, 10, dtype=torch.bool), chunk_bytes=chunk).support
        assert not support[2].any() and support[[0, 1, 3, 4, 5]].all()


def test_chunked_equals_unchunked(generator):
    whole = operator((5, 6, 8, 10), generator)
    one = Sense(whole.maps, whole.mask, chunk_bytes=1)
    assert (
        whole.coils_per_chunk > 1 and one.coils_per_chunk == 1 and whole.slab > 1 and one.slab == 1
    )
    x, y = (
        complex_normal(6, 8, 10, generator=generator),
        complex_normal(5, 6, 8, 10, generator=generator),
    )
    assert torch.allclose(whole.forward(x), one.forward(x), atol=1e-6)
    assert torch.allclose(whole.adjoint(y), one.adjoint(y), atol=1e-6)
    assert torch.allclose(whole.normal(x), one.normal(x), atol=1e-5)


def test_problem_scale(scene, generator):
    """The volume has unit power for any units of the scan and any mask; unscaling undoes it."""
    image, maps = scene
    mask = torch.rand(image.shape[1:], generator=generator) < 0.4
    mask |= fourier.pad(torch.ones(4, 4, dtype=torch.bool), mask.shape, (0, 1))
    kspace = torch.stack([fourier.fft(s * image) for s in maps])
    small, large = (
        Problem.build(kspace, mask, maps, 0.1),
        Problem.build(1000 * kspace, mask, maps, 100.0),
    )
    everything = Problem.build(kspace, torch.ones_like(mask), maps, 0.0)
    assert torch.view_as_real(everything.rhs).square().mean() == pytest.approx(1, rel=0.02)
    clean = Problem.build(kspace, mask, maps, 0.0)
    assert clean.scale == pytest.approx(everything.scale, rel=0.05)
    assert torch.allclose(small.rhs, large.rhs, atol=1e-4) and small.noise == pytest.approx(
        large.noise, rel=1e-5
    )
    assert torch.allclose(
        large.unscale(large.rhs), 1000 * small.unscale(small.rhs), rtol=1e-4, atol=1e-3
    )


def test_problem_gradient_is_that_of_the_objective(scene, generator):
    image, maps = scene
    mask = torch.rand(image.shape[1:], generator=generator) < 0.4
    problem = Problem.build(torch.stack([fourier.fft(s * image) for s in maps]), mask, maps)
    x, d = (
        complex_normal(*image.shape, generator=generator),
        complex_normal(*image.shape, generator=generator),
    )
    # The objective is quadratic, so this difference is exact.
    slope = (problem.objective(x + d).double() - problem.objective(x - d).double()) / 2
    assert float(slope) == pytest.approx(float(inner(problem.gradient(x), d)), rel=1e-3)


def test_conjugate_gradient_solves_a_dense_system(generator):
    """The result equals the direct solution of a complex Hermitian system.

    Inner products without complex conjugation would fail here.
    """
    a = complex_normal(12, 12, generator=generator, dtype=torch.complex128)
    matrix = a @ a.mH + torch.eye(12)
    rhs = complex_normal(12, generator=generator, dtype=torch.complex128)
    x = conjugate_gradient(lambda v: matrix @ v, rhs, torch.zeros_like(rhs), 30, tolerance=1e-10)
    assert torch.allclose(x, torch.linalg.solve(matrix, rhs), atol=1e-8)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
@pytest.mark.parametrize("penalty", [0.0, 1e-9, 1e-3])
def test_conjugate_gradient_stops_where_a_projection_is_solved(scale, penalty, generator):
    """A hundred steps are as good as one; steps in pure rounding once made values 10⁸ too large."""
    kept = torch.rand(20, 30, generator=generator) < 0.5

    def projection(x: torch.Tensor) -> torch.Tensor:
        return fourier.ifft(kept * fourier.fft(x, (0, 1)), (0, 1))

    rhs = scale * projection(complex_normal(20, 30, generator=generator))
    x = conjugate_gradient(
        lambda v: projection(v) + penalty * v, rhs, torch.zeros_like(rhs), iterations=100
    )
    assert torch.allclose(x, rhs / (1 + penalty), atol=1e-4 * scale)


@pytest.mark.usefixtures("unchecked")
def test_refusals(generator):
    maps = complex_normal(2, 4, 6, 8, generator=generator)
    with pytest.raises(ReconError, match=r"mask has shape \(6, 7\)"):
        Sense(maps, torch.ones(6, 7, dtype=torch.bool))
    with pytest.raises(ReconError, match="must agree"):
        Problem.build(maps[:1], torch.ones(6, 8, dtype=torch.bool), maps)
    with pytest.raises(ReconError, match="empty"):
        Problem.build(maps, torch.zeros(6, 8, dtype=torch.bool), maps)


def test_another_mask_keeps_coils_orientation_and_chunks(generator):
    maps = complex_normal(3, 8, 6, 5, generator=generator)
    first, second = (torch.rand(6, 5, generator=generator) < 0.5 for _ in range(2))
    one = Sense(maps, first, chunk_bytes=1, stack=True)
    other, expected = one.masked(second), Sense(maps, second, chunk_bytes=1, stack=True)
    volume = complex_normal(8, 6, 5, generator=generator)
    assert torch.equal(other.forward(volume), expected.forward(volume))
    assert torch.equal(other.normal(volume), expected.normal(volume))
    assert torch.equal(one.mask, first) and (other.slab, other.coils_per_chunk) == (1, 1)
    with pytest.raises(ReconError, match="mask has shape"):
        one.masked(second[:, 1:])

"""``make bench``: our code against its peers, each pair in one process with results compared first;
writes figures/benchmarks.json.
"""

import argparse
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pywt
import sigpy as sp
import sigpy.mri as mr
import torch
from pygrappa import mdgrappa

from recon import phantoms
from recon.methods.l1_wavelet import L1WaveletSettings, l1_wavelet
from recon.mri import coils, fourier, masks, wavelets
from recon.mri.grappa import Grappa
from recon.mri.problem import Problem
from recon.mri.sense import Sense
from recon.representations.gaussians import rotation
from recon.representations.meshes import grid
from recon.representations.splatting import splat
from recon.schema import ROOT
from tests.representations.test_splatting import plain

SHAPE, COILS = (64, 64, 64), 8


def seconds(action: Callable[[], object], repeats: int) -> float:
    """Median wall time after one warm-up."""
    action()
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        action()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begun)
    return float(np.median(times))


def row(
    name: str,
    ours: Callable,
    peer_name: str,
    peer: Callable,
    difference: float,
    limit: float,
    device: str,
    **options,
) -> dict:
    """One benchmark; refuses to time results that disagree."""
    assert difference < limit, (
        f"{name}: ours and {peer_name} differ by {difference:.2g} (limit {limit:g})"
    )
    ours_s, peer_s = (
        seconds(ours, options.get("repeats", 5)),
        seconds(peer, options.get("peer_repeats", 3)),
    )
    found = {
        "name": name,
        "ours_s": ours_s,
        "peer": peer_name,
        "peer_s": peer_s,
        "ratio": peer_s / ours_s,
    }
    print(
        f"{name}: {ours_s:.4f} s, {peer_name} {peer_s:.4f} s, "
        f"ratio {peer_s / ours_s:.1f}, difference {difference:.1e}",
        flush=True,
    )
    return found | {"floor_s": options.get("floor"), "device": device, "difference": difference}


def scene(device: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A knee of 64³ voxels, its unit-norm maps and its k-space with noise."""
    generator = torch.Generator().manual_seed(0)
    image = phantoms.subject("knee", 0).render(SHAPE)
    maps = phantoms.coil_maps(COILS, SHAPE, phantoms.FOV["knee"], 0)
    maps = maps / maps.abs().square().sum(0).sqrt()
    kspace = torch.stack([fourier.fft(s * image) for s in maps])
    kspace += phantoms.complex_noise(kspace.shape, 0.01 * float(image.abs().std()), generator)
    return image.to(device), maps.to(device), kspace.to(device)


def bench_wavelet(image: torch.Tensor, device: str) -> dict:
    """Forward and inverse transform against PyWavelets."""
    array = image.cpu().numpy()

    def ours():
        return wavelets.idwt(wavelets.dwt(image, "db2", 3), tuple(image.shape), "db2", 3)

    def peer():
        return pywt.waverecn(
            pywt.wavedecn(array, "db2", "periodization", 3), "db2", "periodization"
        )

    difference = float(np.abs(ours().cpu().numpy() - peer()).max())
    return row(
        "wavelet db2, 3 levels, there and back", ours, "pywt", peer, difference, 1e-4, device
    )


def bench_normal(image: torch.Tensor, maps: torch.Tensor, device: str) -> dict:
    """AᴴA against sigpy's Sense operator; the floor is the bare 3D transforms of all coils, there
    and back.
    """
    mask = masks.make("poisson_disc", SHAPE[1:], 8, (12, 12), 0).to(device)
    operator = Sense(maps, mask)
    linop = mr.linop.Sense(maps.cpu().numpy(), weights=mask.cpu().numpy()[None].astype(np.float32))
    array = image.cpu().numpy()
    coil_images = maps * image
    floor = seconds(
        lambda: torch.fft.ifftn(torch.fft.fftn(coil_images, dim=(1, 2, 3)), dim=(1, 2, 3)), 5
    )
    difference = float(
        np.abs(operator.normal(image).cpu().numpy() - linop.N(array)).max() / np.abs(array).max()
    )
    return row(
        "AᴴA, 8 coils",
        lambda: operator.normal(image),
        "sigpy",
        lambda: linop.N(array),
        difference,
        1e-4,
        device,
        floor=floor,
    )


def bench_espirit(maps: torch.Tensor, kspace: torch.Tensor, device: str) -> dict:
    """ESPIRiT maps, calibration 20³, against sigpy."""
    array = kspace.cpu().numpy()

    def ours():
        return coils.espirit(kspace, (20, 20, 20))

    def peer():
        return mr.app.EspiritCalib(array, calib_width=20, show_pbar=False).run()

    found, other = ours().cpu(), torch.from_numpy(np.asarray(peer()))
    inside = (kspace.cpu().abs().amax(0) >= 0) & (
        fourier.ifft(kspace.cpu()).abs().square().sum(0).sqrt() > 0.1
    )
    both = inside & (found.abs().sum(0) > 0) & (other.abs().sum(0) > 0)
    difference = float((found.abs() - other.abs()).abs().amax(0)[both].quantile(0.99))
    return row(
        "ESPIRiT, 8 coils, calibration 20³",
        ours,
        "sigpy",
        peer,
        difference,
        0.02,
        device,
        repeats=3,
        peer_repeats=1,
    )


def bench_grappa(kspace: torch.Tensor, device: str) -> dict:
    """GRAPPA, every second phase encode along y and z, calibration 16³, against pygrappa.

    Both have the same calibration data, around which pygrappa puts zeros.
    """
    size = (5, 5, 5)
    mask = masks.make("uniform", SHAPE[1:], 4, (16, 16), 0).to(device)
    block, measured = fourier.crop(kspace, (16, 16, 16)), kspace * mask
    padded = torch.nn.functional.pad(block, (2, 2) * 3)
    arrays = [a.cpu().numpy() for a in (measured, block)]

    def ours():
        return Grappa(padded, size).fill(measured, mask).kspace

    def peer():
        return mdgrappa(arrays[0], calib=arrays[1], kernel_size=size, coil_axis=0)

    found, other = ours().cpu(), torch.from_numpy(np.asarray(peer()))
    difference = float((found - other).norm() / other.norm())
    name = "GRAPPA, 8 coils, 5³ kernels, 2×2, calibration 16³"
    return row(name, ours, "pygrappa", peer, difference, 1e-4, device, repeats=3, peer_repeats=1)


def bench_l1(kspace: torch.Tensor, maps: torch.Tensor, device: str) -> list[dict]:
    """ℓ1-wavelet reconstruction of 30 iterations against sigpy and BART: times at equal iterations,
    results close to the same image.
    """
    mask = masks.make("poisson_disc", SHAPE[1:], 4, (12, 12), 0).to(device)
    problem = Problem.build(kspace, mask, maps)
    settings = L1WaveletSettings(weight=0.005, iterations=30, wavelet="db4", random_shifts=False)
    measured, sensitivities = problem.kspace.cpu().numpy(), maps.cpu().numpy()

    def ours():
        return l1_wavelet(problem, settings=settings)

    def sigpy_peer():
        return mr.app.L1WaveletRecon(
            measured, sensitivities, 0.005, max_iter=30, show_pbar=False, device=sp.cpu_device
        ).run()

    def distance(volume: np.ndarray) -> float:
        a, b = np.abs(ours().cpu().numpy()), np.abs(volume)
        return float(np.linalg.norm(a - b) / np.linalg.norm(a))

    name = "ℓ1-wavelet, 8 coils, 30 iterations"
    rows = [
        row(
            name,
            ours,
            "sigpy",
            sigpy_peer,
            distance(sigpy_peer()),
            0.1,
            device,
            repeats=3,
            peer_repeats=1,
        )
    ]
    if shutil.which("bart"):
        with tempfile.TemporaryDirectory() as folder:
            write_cfl(Path(folder) / "k", measured)
            write_cfl(Path(folder) / "s", sensitivities)
            command = ["bart", "pics", "-S", "-RW:7:0:0.005", "-i30", "k", "s", "x"]

            def bart_peer():
                subprocess.run(command, cwd=folder, check=True, capture_output=True)
                return read_cfl(Path(folder) / "x", SHAPE)

            rows.append(
                row(
                    name,
                    ours,
                    "BART pics (with its process)",
                    bart_peer,
                    distance(bart_peer()),
                    0.1,
                    device,
                    repeats=3,
                )
            )
    return rows


def bench_gaussians(device: str) -> dict:
    """40 960 Gaussians in 64×80×80 voxels, with gradient, against the plain formula.

    The plain formula is timed on one of the 80 slices, and its time multiplied by 80.
    """
    generator = torch.Generator().manual_seed(0)
    shape, number = (64, 80, 80), 40_960
    centre = torch.rand(number, 3, generator=generator) * torch.tensor(shape)
    size = 0.5 + torch.rand(number, 3, generator=generator)
    turn = rotation(torch.randn(number, 4, generator=generator))
    parts = [centre, turn / size[:, None], torch.randn(number, 2, generator=generator)]
    parts = [part.to(device).requires_grad_() for part in parts]
    x, y, z = grid(shape)

    def summed(way: Callable, mesh: tuple, at_once: int) -> torch.Tensor:
        """The volume; a sum over it is differentiated, ``at_once`` Gaussians at a time."""
        total = 0
        for some in zip(*(part.split(at_once) for part in parts), strict=True):
            volume = way(mesh, *some[:2], torch.view_as_complex(some[2]))
            torch.autograd.grad(volume.real.sum(), some)
            total = total + volume.detach()
        return total

    one = x, y, z[40:41]
    found, expected = summed(splat, one, number), summed(plain, one, 1024)
    difference = float((found - expected).norm() / expected.norm())
    ours = seconds(lambda: summed(splat, (x, y, z), number), 3)
    peer = 80 * seconds(lambda: summed(plain, one, 1024), 1)
    name = "Gaussians, 40 960 in 64×80×80 voxels, with gradient"
    assert difference < 1e-3, f"{name}: differs by {difference:.2g} from the plain formula"
    print(f"{name}: {ours:.2f} s, plain formula {peer:.0f} s, difference {difference:.1e}")
    peers = {"peer": "plain formula (80 × one slice)", "peer_s": peer, "ratio": peer / ours}
    times = {"name": name, "ours_s": ours, **peers}
    return times | {"floor_s": None, "device": device, "difference": difference}


def write_cfl(stem: Path, array: np.ndarray) -> None:
    """(coil, x, y, z) to BART's column-major (x, y, z, coil)."""
    moved = np.moveaxis(array, 0, -1)
    stem.with_suffix(".hdr").write_text("# Dimensions\n" + " ".join(map(str, moved.shape)) + "\n")
    moved.ravel(order="F").astype(np.complex64).tofile(stem.with_suffix(".cfl"))


def read_cfl(stem: Path, shape: tuple[int, ...]) -> np.ndarray:
    """BART's column-major volume."""
    return np.fromfile(stem.with_suffix(".cfl"), np.complex64).reshape(shape, order="F")


def main() -> None:
    """Runs every benchmark on one device and keeps the rows of the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    device = parser.parse_args().device
    image, maps, kspace = scene(device)
    rows = [
        bench_wavelet(image, device),
        bench_normal(image, maps, device),
        bench_espirit(maps, kspace, device),
        bench_grappa(kspace, device),
        bench_gaussians(device),
    ]
    rows += bench_l1(kspace, maps, device)
    path = ROOT / "figures" / "benchmarks.json"
    kept = (
        [r for r in json.loads(path.read_text()) if r["device"] != device] if path.exists() else []
    )
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(kept + rows, indent=1))


if __name__ == "__main__":
    main()

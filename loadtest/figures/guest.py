"""A virtual machine with this machine's files but its own limits, for a load that this machine itself does not allow.

Its kernel is Debian's. The files of this machine are its root, read-only (9p): programs and libraries are there as they
are here. One directory is shared for writing."""

import contextlib
import gzip
import lzma
import os
import platform
import shlex
import shutil
import subprocess
import threading
from pathlib import Path

import servers

BOOTED = "guest is booted"
PROBE_LIMIT_S = 20
MODULES = (
    "drivers/virtio/virtio drivers/virtio/virtio_ring drivers/virtio/virtio_pci_legacy_dev "
    "drivers/virtio/virtio_pci_modern_dev drivers/virtio/virtio_pci net/9p/9pnet net/9p/9pnet_virtio "
    "fs/netfs/netfs fs/fscache/fscache fs/9p/9p"
).split()
# Modules are loaded in any order, and again until the modules that they need are loaded.
INIT = """#!/bin/busybox sh
busybox=/bin/busybox
for round in 1 2 3 4 5; do for module in /modules/*; do $busybox insmod $module 2>/dev/null; done; done
share="$busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=262144"
$share,ro,cache=loose root /host && $share out "/host{out}" || $busybox poweroff -f
$busybox mount -t proc proc /proc
$busybox mount -t proc proc /host/proc
$busybox mount -t sysfs sys /host/sys
$busybox mount -t devtmpfs dev /host/dev
$busybox mount -t tmpfs tmp /host/tmp
$busybox ip link set lo up
$busybox sysctl -q -w fs.file-max=8000000 fs.epoll.max_user_watches=8000000 net.core.netdev_max_backlog=100000
ulimit -n 1048576
echo {booted}
export PATH={path} HOME=/tmp
cd /host{here}
$busybox chroot /host /bin/sh -c {command}
$busybox sync
$busybox poweroff -f
"""


class Guest:
    """A virtual machine, and whether its processors are real or emulated."""

    def __init__(self, out, memory_mib):
        self.out = out
        self.memory_mib = memory_mib
        if platform.machine() != "x86_64" or not shutil.which("dpkg-deb"):
            raise SystemExit(
                "the virtual machine is for Debian on x86_64: run this where the limits allow it, or there"
            )
        servers.install_packages({"qemu-system-x86": "qemu-system-x86_64", "cpio": "cpio"})
        self.kernel = self._unpacked()
        self.is_emulated = not self._boots_with_kvm()

    def run(self, command):
        """Runs the command in the machine, and shows its output. It can write only to the directory `out`."""
        accelerator = "tcg,thread=multi" if self.is_emulated else "kvm"
        with subprocess.Popen(
            self._qemu(accelerator, command), stdout=subprocess.PIPE, stdin=subprocess.DEVNULL
        ) as qemu:
            try:
                is_booted = False
                for line in qemu.stdout:
                    text = line.decode(errors="replace").rstrip()
                    if is_booted:
                        print(text, flush=True)
                    is_booted |= BOOTED in text
            finally:
                qemu.kill()
        if not is_booted:
            raise SystemExit("the virtual machine does not boot")

    def _boots_with_kvm(self):
        """Whether a guest boots with KVM; `/dev/kvm` alone does not prove that."""
        if not os.access("/dev/kvm", os.R_OK | os.W_OK):
            return False
        qemu = subprocess.Popen(
            self._qemu("kvm", "true"), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
        )
        limit = threading.Timer(PROBE_LIMIT_S, qemu.kill)
        limit.start()
        with qemu:
            text = qemu.stdout.read()
        limit.cancel()
        return BOOTED.encode() in text

    def _qemu(self, accelerator, command):
        initrd = self.out / "initrd"
        initrd.write_bytes(gzip.compress(self._archive(command), 1))
        share = "local,security_model=none,multidevs=remap"
        words = f"""qemu-system-x86_64 -accel {accelerator} -cpu max -m {self.memory_mib}M
            -smp {len(os.sched_getaffinity(0))} -nodefaults -nographic -serial stdio -no-reboot
            -kernel {self.kernel} -initrd {initrd}"""
        shares = [
            "-virtfs",
            f"{share},path=/,mount_tag=root,readonly=on",
            "-virtfs",
            f"{share},path={self.out},mount_tag=out",
        ]
        return [*words.split(), "-append", "console=ttyS0 quiet panic=-1", *shares]

    def _archive(self, command):
        """Makes the initrd: busybox, the modules for the shared directories, and the script to run."""
        root = self.out / "initramfs"
        for folder in ("host", "proc"):
            (root / folder).mkdir(exist_ok=True)
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        values = {"out": self.out, "booted": BOOTED, "path": shlex.quote(path), "here": servers.ROOT}
        (root / "init").write_text(INIT.format(command=shlex.quote(command), **values))
        (root / "init").chmod(0o755)
        files = "\n".join(str(file.relative_to(root)) for file in [root, *sorted(root.rglob("*"))])
        cpio = ["cpio", "-o", "-H", "newc", "--quiet"]
        return subprocess.run(cpio, cwd=root, input=files.encode(), stdout=subprocess.PIPE, check=True).stdout

    def _unpacked(self):
        """Takes kernel, modules and busybox out of Debian's packages, without installing them."""
        root = self.out / "initramfs"
        found = subprocess.run(
            ["apt-cache", "depends", "linux-image-amd64"], capture_output=True, text=True, check=True
        )
        package = next(line.split()[1] for line in found.stdout.splitlines() if "Depends:" in line)
        kernel = self.out / package.replace("linux-image", "vmlinuz")
        if not kernel.exists() or not (root / "bin/busybox").exists():
            shutil.rmtree(root, ignore_errors=True)
            for folder in ("bin", "modules"):
                (root / folder).mkdir(parents=True)
            for name in (package, "busybox-static"):
                self._download(name)
            unpacked = self.out / "unpacked"
            for module in MODULES:
                # From Debian 13 on, modules are compressed.
                for file in unpacked.glob(f"**/kernel/{module}.ko*"):
                    data = lzma.decompress(file.read_bytes()) if file.suffix == ".xz" else file.read_bytes()
                    (root / "modules" / file.name.removesuffix(".xz")).write_bytes(data)
            shutil.copy(next(unpacked.glob("**/bin/busybox")), root / "bin/busybox")
            shutil.copy(next(unpacked.glob("**/boot/vmlinuz-*")), kernel)
            shutil.rmtree(unpacked)
        return kernel

    def _download(self, package):
        print(f"downloading {package}", flush=True)
        for old in self.out.glob(f"{package}_*.deb"):
            old.unlink()
        command = ["apt-get", "download", "-qq", package]
        subprocess.run(command, cwd=self.out, stderr=subprocess.DEVNULL, check=True)
        file = next(self.out.glob(f"{package}_*.deb"))
        subprocess.run(["dpkg-deb", "-x", file, self.out / "unpacked"], check=True)
        with contextlib.suppress(OSError):
            Path(file).unlink()

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from poolkeeper.drill import Service, ServiceFailed, reference_service

HERE = Path(__file__).parent


def service_in(folder: Path, **options: object) -> Service:
    return Service("sqlite://", folder, app="slow_app:app", app_dir=HERE, **options)  # type: ignore[arg-type]


def family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def still_running_after(seconds: float, processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that are there after up to `seconds`, zombies included."""
    deadline = time.monotonic() + seconds
    while (found := [process for process in processes if process.is_running()]) and time.monotonic() < deadline:
        time.sleep(0.02)
    return found


def test_the_reference_service_is_found() -> None:
    assert (reference_service() / "orders" / "main.py").is_file()


@pytest.mark.parametrize("workers", [1, 2])
def test_stop_leaves_no_process_behind(tmp_path: Path, workers: int) -> None:
    with service_in(tmp_path, workers=workers) as service:
        processes = family(service.pid)
        assert len(processes) >= workers
        assert "running" in repr(service)
    assert still_running_after(0, processes) == []
    assert "stopped" in repr(service)


def test_stop_lets_the_service_end_by_itself(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    service.start()
    service.stop()
    assert "Application shutdown complete" in service.log()


def test_a_service_that_will_not_stop_is_killed_after_its_grace(tmp_path: Path) -> None:
    with service_in(tmp_path, workers=2, grace=0.3) as service:
        processes = family(service.pid)
        for process in processes:
            process.send_signal(signal.SIGSTOP)
    assert still_running_after(2, processes) == []


def test_workers_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    with service_in(tmp_path, workers=2) as service:
        processes = family(service.pid)
        os.kill(service.pid, signal.SIGKILL)
        assert service.wait(10) == 128 + signal.SIGKILL
        assert still_running_after(2, processes) == []


@pytest.fixture
def owner(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """Another process that runs a service with two workers and prints its pid."""
    program = f"""
import sys, time
from pathlib import Path
from poolkeeper.drill import Service
folder, app_dir = Path({str(tmp_path)!r}), Path({str(HERE)!r})
with Service("sqlite://", folder, app="slow_app:app", app_dir=app_dir, workers=2) as service:
    print(service.pid, flush=True)
    time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as process:
        yield process
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def test_nothing_outlives_an_owner_that_is_killed(owner: subprocess.Popen[str]) -> None:
    assert owner.stdout
    processes = family(int(owner.stdout.readline()))
    owner.kill()
    assert still_running_after(10, processes) == []


@pytest.mark.slow
def test_the_service_ends_when_its_lifeline_is_killed(tmp_path: Path) -> None:
    with service_in(tmp_path) as service:
        server = psutil.Process(service.pid)
        lifeline = server.parent()
        assert lifeline
        lifeline.kill()
        assert still_running_after(10, [server]) == []


def test_a_service_that_cannot_start_says_why_and_is_gone(tmp_path: Path) -> None:
    service = service_in(tmp_path, environment={"APP_REFUSES": "1"})
    with pytest.raises(ServiceFailed) as failure:
        service.start()
    assert "no good day to start" in failure.value.log
    assert not service.running


def test_our_own_database_settings_do_not_reach_the_service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_POOL_SIZE", "3")
    with service_in(tmp_path) as service:
        environment = psutil.Process(service.pid).environ()
    assert environment["DATABASE_URL"] == "sqlite://"
    assert "DATABASE_POOL_SIZE" not in environment


def test_a_stopped_service_starts_again_on_the_same_object(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    for _ in range(2):
        service.start()
        with pytest.raises(RuntimeError, match="already running"):
            service.start()
        assert service.stop() is not None


def test_starting_is_bounded_in_time(tmp_path: Path) -> None:
    began = time.monotonic()
    with pytest.raises(ServiceFailed, match="not ready in time"):
        service_in(tmp_path).start(timeout=0.0)
    assert time.monotonic() - began < 20


@pytest.mark.slow
def test_what_an_app_answers_that_is_never_ready_is_told(tmp_path: Path) -> None:
    service = Service("sqlite://", tmp_path, app="slow_app:app", app_dir=Path(__file__).parent, ready="/status/418")
    with pytest.raises(ServiceFailed, match="GET /status/418 answered 418"):
        service.start(timeout=5.0)
    assert not service.running

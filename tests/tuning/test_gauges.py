"""What Prometheus would scrape, from a real Ray node."""

import json
import re

from ray_scripts import run_script

from cifar_ray.records import SweepRecord

PUBLISH = """
import json, sys, time, urllib.request
import ray
from cifar_ray.cluster.ports import free_ports
from cifar_ray.progress.sweep_progress import SweepProgress
from cifar_ray.records import SweepRecord
from cifar_ray.tuning.gauges import SweepGauges

(port,) = free_ports(1)
ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR", _metrics_export_port=port,
         _system_config={"metrics_report_interval_ms": 500})
gauges = SweepGauges(SweepRecord.from_json(sys.argv[1]), num_epochs=3)
progress = SweepProgress(elapsed_s=1.0, trials=10, running=2, stopped=1, completed=0, diverged=0, failed=1,
                         epochs=7, best_validation_accuracy=0.5, best_trial="t0001", dataset="shapes")
gauges.publish(progress, accelerators=1.5)
gauges.publish(progress, accelerators=1.5)
deadline = time.monotonic() + 60
while time.monotonic() < deadline:
    time.sleep(0.5)
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}", timeout=5) as answer:
            lines = [line for line in answer.read().decode().splitlines() if line.startswith("ray_cifar_ray_")]
    except OSError:
        continue
    if len({line.split("{")[0] for line in lines if "cifar_ray" in line}) >= 5:
        print(json.dumps(lines))
        break
"""


def test_prometheus_sees_the_sweep(sweep_record: SweepRecord) -> None:
    said = run_script(PUBLISH, sweep_record.to_json())
    found: dict[str, float] = {}
    for line in json.loads(said.splitlines()[-1]):
        name, tags, value = re.fullmatch(r"(\w+)\{(.*)\} (\S+)", line).groups()  # type: ignore[union-attr]
        assert f'SweepId="{sweep_record.sweep_id}"' in tags
        assert f'Study="{sweep_record.study}"' in tags
        state = re.search(r'State="(\w+)"', tags)
        found[name + (f" {state[1]}" if state else "")] = float(value)
    images_per_second = found.pop("ray_cifar_ray_images_per_second")
    assert 0 < images_per_second <= 4 * sweep_record.dataset.num_train
    assert found == {
        "ray_cifar_ray_trials running": 2,
        "ray_cifar_ray_trials stopped": 1,
        "ray_cifar_ray_trials completed": 0,
        "ray_cifar_ray_trials diverged": 0,
        "ray_cifar_ray_trials failed": 1,
        "ray_cifar_ray_trials waiting": 6,
        "ray_cifar_ray_best_validation_accuracy": 0.5,
        "ray_cifar_ray_epochs_total": 4,
        "ray_cifar_ray_accelerators": 1.5,
    }

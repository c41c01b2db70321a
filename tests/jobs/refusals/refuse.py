"""A job of the tests: gives bad input to a tuning job, many times over one connection, and says what came of it."""

import json
import sys

import ray

from cifar_ray.errors import CifarRayError
from cifar_ray.settings import read_settings
from cifar_ray.studies import get_study
from cifar_ray.studies.options import SweepOptions
from cifar_ray.tuning.command import run_job

ray.init(log_to_driver=False)
for options in json.loads(sys.argv[1]):
    try:
        run_job(get_study("cnn"), SweepOptions(**options), read_settings())
    except CifarRayError as error:
        print("refused", json.dumps([type(error).__name__, error.message, error.hint]))
    else:
        print("refused", json.dumps(["nothing", "", ""]))

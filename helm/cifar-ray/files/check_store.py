"""Checks that the pod's object store takes, gives back and removes an object."""

from cifar_ray.errors import CifarRayError, StorageError
from cifar_ray.settings import read_settings
from cifar_ray.storage.object_store import open_store
from cifar_ray.storage.patient_store import PatientStore, may_come_up
from cifar_ray.storage.probe import check_write_read_delete

# less than helm waits for a test
PATIENCE_S = 120

if __name__ == "__main__":
    settings = read_settings()
    if settings.storage is None:
        raise SystemExit("CIFAR_RAY_STORAGE is not set")
    store = open_store(settings.storage, settings.s3)
    try:
        try:
            check_write_read_delete(store)
        except StorageError as error:
            if not may_come_up(error):
                raise
            check_write_read_delete(PatientStore(store, PATIENCE_S))
    except CifarRayError as error:
        raise SystemExit(str(error)) from error
    print(f"{settings.storage} takes, gives back and removes an object")

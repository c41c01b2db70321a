#!/usr/bin/env bash
# `make e2e`: the chart on a Kubernetes of its own in Docker (kind), with the KubeRay operator and the image's CPU variant.
# Takes 4 cores, about 8 GiB of memory, 20 GB of disk and, the first time, most of an hour. ARGS go to pytest.
set -euo pipefail
cd "$(dirname "$0")/../../.."

for tool in docker kind helm kubectl; do
  command -v "$tool" > /dev/null || { echo "make e2e needs $tool on PATH" >&2; exit 1; }
done

name="cifar-ray-e2e-$$"
image="cifar-ray:e2e-$$"
folder="$(mktemp -d)"
export KUBECONFIG="$folder/kubeconfig"
end() {
  kind delete cluster --name "$name" || true
  docker image rm "$image" > /dev/null || true
  rm -rf "$folder"
}
trap end EXIT

docker build --build-arg VARIANT=cpu --tag "$image" .
kind create cluster --name "$name" --wait 120s
kind load docker-image --name "$name" "$image"
helm install kuberay-operator kuberay-operator --repo https://ray-project.github.io/kuberay-helm/ --version 1.7.0 \
  --namespace kuberay --create-namespace --wait --timeout 5m \
  --set "env[0].name=RAYJOB_STATUS_CHECK_TIMEOUT_SECONDS" --set-string "env[0].value=1800"

# small enough for a laptop: 4 cores, of which kind's own pods ask for one; a worker that comes when the sweep asks for it
export CIFAR_RAY_TEST_HELM_ARGS="--values helm/cifar-ray/examples/cpu.yaml --set image.repository=${image%:*},image.tag=${image#*:}\
 --set head.resources.memory=3Gi,workerGroups.cpu.resources.memory=3Gi\
 --set head.resources.cpu=500m,objectStore.embedded.resources.cpu=250m,workerGroups.cpu.resources.cpu=1000m\
 --set workerGroups.cpu.max=1"
.venv/bin/python -m pytest -m cluster tests/cluster/on_kubernetes/test_real_cluster.py "$@"

# Leave the cluster in order when the pod is told to stop: take no new work, let running epochs end, for at most $1 seconds.
# $2 is where processes are seen, /proc unless a test says otherwise.
SECONDS=0
processes=${2:-/proc}
raylet() { grep -lsx raylet "$processes"/[0-9]*/comm; }
# named, so that it is never another node that drains; none is left where the autoscaler has drained this one
found=$(raylet) || exit 0
node=$(tr '\0' '\n' < "${found%/comm}/cmdline" | sed -n 's/^--node_id=//p')
left=$1
until timeout 15 ray drain-node --node-id "$node" --deadline-remaining-seconds "$left" \
  --reason DRAIN_NODE_REASON_PREEMPTION --reason-message "the pod is told to stop"; do
  # the head may be restarting
  sleep 1
  left=$(($1 - SECONDS))
  raylet > /dev/null && [ "$left" -gt 0 ] || exit 0
done
# a drained raylet ends as soon as it is idle
while raylet > /dev/null && [ "$SECONDS" -lt "$1" ]; do sleep 1; done

# Submits the job $RAY_JOB_SUBMISSION_ID, once, and stays until it has ended: submit PATIENCE_S ENTRYPOINT...
# KubeRay takes a job for failed that still runs 30 s after its submitter, and `ray job logs --follow` is no measure of that:
# it ends in order where the head's agent is lost, and not at all where the head's node is. So Ray is asked each minute.
# Exits with 0 once the job has ended, however, for KubeRay asks Ray how; with 1 after PATIENCE_S without an answer.
trap 'exit 143' TERM
patience_s=$1
shift
job=$RAY_JOB_SUBMISSION_ID
address=http://${RAY_DASHBOARD_ADDRESS#http://}
logs=
is_followed() { [ -n "$logs" ] && kill -0 "$logs" 2> /dev/null; }
heard=$(date +%s)
while [ $(($(date +%s) - heard)) -lt "$patience_s" ]; do
  said=$(timeout 120 ray job status --address "$address" "$job" 2>&1)
  case $said in
    *"Job '$job' succeeded"* | *"Job '$job' failed"* | *"Job '$job' was stopped"*)
      # the last lines may still be on their way
      for _ in $(seq 10); do is_followed && sleep 1; done
      is_followed && kill "$logs"
      echo "$said"
      exit 0
      ;;
    *"Status for job '$job'"*)
      heard=$(date +%s)
      if ! is_followed; then
        ray job logs --address "$address" --follow "$job" &
        logs=$!
      fi
      ;;
    *"does not exist"*)
      # not yet, or no more: a new head knows nothing of the last one's
      is_followed && kill "$logs"
      timeout 120 ray job submit --no-wait --address "$address" --submission-id "$job" -- "$@"
      ;;
    *) echo "$address does not say how $job is" >&2 ;;
  esac
  for _ in $(seq 12); do sleep 5 && is_followed || break; done
done
echo "$address has not said for $patience_s s how $job is: $said" >&2
exit 1

# Submits the job $RAY_JOB_SUBMISSION_ID, once, and stays until it has ended: submit FIRST_S PATIENCE_S ENTRYPOINT...
# KubeRay takes a job for failed that still runs 30 s after its submitter, and `ray job logs --follow` is no measure of that:
# it ends in order where the head's agent is lost, and not at all where the head's node is. So Ray is asked each minute.
# Exits with 0 once the job has ended, however, for KubeRay asks Ray how. With 1 where Ray has not answered for PATIENCE_S, or not
# once in FIRST_S: whoever is tried again after that finds the dashboard soon, or it has gone for good.
trap 'exit 143' TERM
limit_s=$1
patience_s=$2
shift 2
job=$RAY_JOB_SUBMISSION_ID
address=http://${RAY_DASHBOARD_ADDRESS#http://}
logs=
away=yes
is_followed() { [ -n "$logs" ] && kill -0 "$logs" 2> /dev/null; }
unfollow() { is_followed && kill "$logs"; logs=; }
submit() { timeout 120 ray job submit --no-wait --address "$address" --submission-id "$job" -- "$@"; }
last_line() { printf '%s\n' "$said" | tail -n 1; }
heard=$(date +%s)
now=$heard
while [ $((now - heard)) -lt "$limit_s" ]; do
  said=$(timeout 120 ray job status --address "$address" "$job" 2>&1)
  case $said in
    *"Job '$job' succeeded"* | *"Job '$job' failed"* | *"Job '$job' was stopped"*)
      # the last lines may still be on their way
      for _ in $(seq 10); do is_followed && sleep 1; done
      unfollow
      # nor is it known whether the log had broken off before them
      timeout 120 ray job logs --address "$address" "$job" 2>&1 | tail -n 20
      printf '%s\n' "$said"
      exit 0
      ;;
    *"Status for job '$job'"*)
      heard=$(date +%s)
      limit_s=$patience_s
      if [ -n "$away" ]; then
        # a new head that has Redis' records calls this running until it looks, which it does as it refuses a second one
        submit "$@" > /dev/null 2>&1
        unfollow
        away=
      fi
      if ! is_followed; then
        ray job logs --address "$address" --follow "$job" &
        logs=$!
      fi
      ;;
    *"does not exist"*)
      # not yet, or no more: a new head knows nothing of the last one's
      unfollow
      submit "$@" && away=
      ;;
    *)
      away=yes
      echo "$address does not say how $job is: $(last_line)" >&2
      ;;
  esac
  for _ in $(seq 12); do sleep 5 && is_followed || break; done
  now=$(date +%s)
done
echo "$address has not said for $limit_s s how $job is: $(last_line)" >&2
exit 1

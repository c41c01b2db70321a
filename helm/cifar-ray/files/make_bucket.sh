# The pod is ready once this has ended. SeaweedFS's shell says in words, not by its exit status, what came of a command.
for _ in $(seq 120); do
  echo "s3.bucket.create -name cifar-ray" | weed shell -master=127.0.0.1:9333 -filer=127.0.0.1:8888 > /dev/null 2>&1
  if echo "s3.bucket.list" | weed shell -master=127.0.0.1:9333 -filer=127.0.0.1:8888 2> /dev/null | grep -qw cifar-ray; then
    exit 0
  fi
  sleep 1
done
echo "the bucket cifar-ray could not be made" >&2
exit 1

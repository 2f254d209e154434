# Start the scripted model, wait until it listens, run a command, end the model: sh with-model.sh COMMAND...
PYTHONDONTWRITEBYTECODE=1 python3 fake_model.py --script model.json --unix /tmp/model.sock >/tmp/model.log 2>&1 &
model=$!
tries=0
until [ -S /tmp/model.sock ]; do
  tries=$((tries + 1))
  if [ "$tries" -gt 100 ]; then cat /tmp/model.log; exit 3; fi
  sleep 0.1
done
"$@"
code=$?
kill "$model"
exit "$code"

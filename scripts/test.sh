#!/bin/sh
# What CI runs: types, lint, build, then every project of vitest but the long proofs. Ends with one line `N passed, N failed`.
set -eu
cd "$(dirname "$0")/.."
npm run typecheck
npm run lint
npm run build
out=$(mktemp)
trap 'rm -f "$out"' EXIT
status=0
npm exec -- vitest run --project '!proof' --no-file-parallelism --reporter=default --reporter=json --outputFile.json="$out" || status=$?
# a file that fails outside its tests (a hook, an import) counts as one failure
node -e '
const r = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"));
const broken = r.testResults.filter((f) => f.status === "failed" && !f.assertionResults.some((t) => t.status === "failed"));
console.log(`${r.numPassedTests} passed, ${r.numFailedTests + broken.length} failed`);' "$out"
exit $status

/**
 * A node's whole network state before the agent starts and after cleanup, for each combination of the `--run-*` flags, with the
 * agent running against an API until it is ready and then ended; in user-mode Linux.
 */
import { beforeAll, describe, expect, test } from 'vitest';
import { needBuiltAgent, rigModules, rigObjects, rigPrelude, untilAddressed } from '../support/agent-rig.ts';
import { bootUml, type UmlResult } from '../support/uml.ts';

const bits = ['0', '1'];
const combinations = bits.flatMap((router) =>
  bits.flatMap((firewall) =>
    bits.flatMap((proxy) => bits.map((balancer) => `${router}${firewall}${proxy}${balancer}`)),
  ),
);
const flag = (bit: string | undefined): string => (bit === '1' ? 'true' : 'false');
const flagsOf = (name: string): string =>
  `--run-router=${flag(name[0])} --run-firewall=${flag(name[1])} --run-service-proxy=${flag(name[2])} --run-loadbalancer=${flag(name[3])}`;

describe('cleanup is the inverse', () => {
  let result: UmlResult;
  beforeAll(async () => {
    needBuiltAgent();
    result = await bootUml({
      name: 'kra-cleanup',
      memMb: 1024,
      timeoutMs: 1_500_000,
      modules: rigModules,
      files: { 'cluster.yaml': rigObjects },
      script: `${rigPrelude}
set +e
start_api || exit 1
# once, so that what a kernel makes at the first use of a tool is there from the start
start_agent; ready; kill $AGENT; wait $AGENT; agent cleanup > "$OUT/first" 2>&1
${untilAddressed}
state > "$OUT/before"
${combinations
  .map(
    (name) => `
: > "$OUT/agent.log"
start_agent ${flagsOf(name)}
if [ ${name} = 0000 ] || [ ${name} = 0001 ]; then sleep 4; else ready || echo 'never ready' > "$OUT/trouble-${name}"; fi
state > /run/during
grep -v '^admin.sock$' /run/during | diff "$OUT/before" - > "$OUT/during-${name}"
kill $AGENT 2>/dev/null; wait $AGENT; echo $? > "$OUT/exit-${name}"
agent cleanup --output json > "$OUT/cleanup-${name}" 2>&1; echo $? > "$OUT/code-${name}"
state > /run/after
diff "$OUT/before" /run/after > "$OUT/diff-${name}"
[ -f "$OUT/trouble-${name}" ] && cp "$OUT/agent.log" "$OUT/log-${name}"
`,
  )
  .join('')}
exit 0
`,
    });
    if (result.exitCode !== 0)
      throw new Error(`guest: ${result.stderr.slice(-4000)}\n${result.files['api.log'] ?? ''}`);
  }, 1_510_000);

  test.each(combinations)('router firewall proxy allocator: %s', (name) => {
    const out = (kind: string): string => result.files[`${kind}-${name}`] ?? '';
    expect(out('trouble') + out('log').slice(-1500)).toBe('');
    expect(out('exit')).toBe('0\n');
    // Whatever programs the kernel has left something for the cleanup to take away; the others have only their socket.
    if (/^000/.test(name)) expect(out('during')).toBe('');
    else expect(out('during')).not.toBe('');
    expect(out('code'), out('cleanup')).toBe('0\n');
    expect(out('diff')).toBe('');
  });
});

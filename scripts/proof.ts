/**
 * The long proofs of one block, one step after the other, and a table of what was asked and seen at the end.
 * `make proof-<block>` calls it; a step that fails fails the whole, after all have run. `ONLY=words make proof-<block>` runs the steps
 * whose name has these words.
 */
import { spawn } from 'node:child_process';
import { existsSync, globSync, mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const node = `${root}node_modules/node/bin/node`;
const vitest = `${root}node_modules/vitest/vitest.mjs`;

/** A command and what its success shows. */
interface Step {
  readonly name: string;
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** Runs before it, once for all that need it. */
  readonly needs?: Step;
}

/** Every test file that matches one of the patterns, in one run. */
const tests = (name: string, ...rest: (string | Readonly<Record<string, string>>)[]): Step => {
  const patterns = rest.filter((one) => typeof one === 'string');
  const env: Record<string, string> = { PROOF: '1' };
  for (const one of rest) if (typeof one === 'object') Object.assign(env, one);
  const files = patterns.flatMap((pattern) => globSync(pattern, { cwd: root })).sort();
  if (files.length === 0) throw new Error(`${name}: no test matches ${patterns.join(' ')}`);
  return { name, command: [node, vitest, 'run', ...files], env };
};

const script = (name: string, file: string, ...args: string[]): Step => ({ name, command: [node, file, ...args] });

/**
 * Network policies by packets: the cases of NETPOL_CASES, run by the harness beside that folder, and random ones of our own in the same
 * form, through each backend; the agent once a step and one agent fed step by step, one node and two, routed and bridged.
 */
function policyByPackets(): readonly Step[] {
  const cases = process.env['NETPOL_CASES'] ?? join(root, '../shared/netpol/cases');
  const harness = join(cases, '../nph.py');
  if (!existsSync(harness)) {
    const text = `no packet harness at ${harness}: set NETPOL_CASES to a folder of cases beside nph.py`;
    return [{ name: text, command: [node, '-e', `console.error(${JSON.stringify(text)}); process.exit(1)`] }];
  }
  const own = mkdtempSync(join(tmpdir(), 'krs-netpol-'));
  const backends = {
    'iptables-legacy': '--iptables-flavour legacy',
    'iptables-nft': '--iptables-flavour nft',
    nftables: '--use-nftables-for-netpol',
  };
  const live = ['--no-reset', '--hammer', '--established'];
  const needs = script('random cases of our own', 'test/netpol/random-cases.ts', own, '60', '20');
  const steps: Step[] = [];
  for (const [backend, flags] of Object.entries(backends)) {
    const run = (name: string, wrapper: string, folder: string, ...args: string[]): Step => ({
      name: `${backend}: ${name}`,
      command: [
        'python3',
        harness,
        '--cases',
        folder,
        '--cmd',
        `${root}test/netpol/${wrapper} {state} ${flags}`,
        ...args,
      ],
    });
    steps.push(
      run(
        'two nodes, rules of the case before stay, traffic meanwhile',
        'enforce',
        cases,
        '--enforce',
        'node1,node2',
        ...live,
      ),
      run('bridged pods', 'enforce', cases, '--mode', 'bridge'),
      run('one agent fed step by step', 'feed', cases, '--converge', '10', ...live),
      { ...run('random cases', 'enforce', own), needs },
      { ...run('random cases, one agent', 'feed', own, '--converge', '10', ...live), needs },
    );
  }
  return steps;
}

/** What each block's proof consists of. */
const proofs: Readonly<Record<string, () => readonly Step[]>> = {
  spine: () => [
    tests('net, kernel, objects: properties', 'src/{net,kernel,objects}/**/*.test.ts'),
    tests('drivers against the kernel', 'test/{netns,kernel}/kernel*.test.ts'),
    tests('the tests of reconcile() notice each broken promise', 'test/proof/reconcile-mutations.test.ts'),
    tests('manifests that are wrong in one place or change, by the built agent', 'test/proof/manifest-*.test.ts'),
    script('the lab, by packets', 'examples/lab/run.ts', 'demo'),
  ],
  bgp: () => [
    tests('codec, session, RIB, policy', 'src/bgp/**/*.test.ts'),
    tests('vectors and malformed messages', 'test/conformance/bgp*.test.ts'),
    tests('real daemons, hostile peers, monitoring', { VITEST_MAX_WORKERS: '1' }, 'test/peers/bgp*.test.ts'),
    script('malformed UPDATEs at whole speakers, ours and Debian’s', 'test/conformance/bgp-malformed-run.ts'),
    script('limits: event loop, idle sessions, BFD through load', 'bench/bgp/limits.ts'),
    script('ten million mutated messages', 'test/fuzz/bgp.ts', '--count', '10000000', '--seed', '20262'),
    script('speed beside Debian’s daemons', 'bench/bgp/run.ts'),
  ],
  ipvs: () => [
    tests('services, endpoints, schedulers', 'src/ipvs/**/*.test.ts'),
    tests('pods found through containerd', 'test/netns/ipvs*.test.ts'),
    tests('the rules in a kernel, kill -9, cleanup', 'test/kernel/ipvs-{uml,target,table,crash}.test.ts'),
    tests('packets: who answers over each path, DSR, directors', 'test/kernel/ipvs-{packets,dsr,dsr-paths}.test.ts'),
    // Nothing else beside what is measured.
    tests('rolling update under load, drains', 'test/kernel/ipvs-rolling.test.ts'),
    tests('flat to 10,000 Services (T12)', 'test/kernel/ipvs-flat.test.ts'),
    tests('the built agent', 'test/proof/ipvs*.test.ts'),
    script('speed', 'bench/run.ts', 'ipvs'),
  ],
  firewall: () => [
    tests('evaluator, compiler, renderers', { FIREWALL_RUNS: '400' }, 'src/firewall/**/*.test.ts'),
    tests('packets, kill -9, 1,000 syncs beside others', { FIREWALL_SYNCS: '1000' }, 'test/netns/firewall*.test.ts'),
    ...policyByPackets(),
    script('what it costs', 'bench/run.ts', 'firewall'),
  ],
  routing: () => [
    tests('routes, overlays, sessions, CNI file: tables and properties', 'src/routing/**/*.test.ts'),
    tests('which VIPs are announced, attributes, aggregates, 1,000 operations on pools', 'src/ingress/**/*.test.ts'),
    tests(
      'two agents, one Lease, a real API; conditions and events',
      'examples/agent/src/blocks/load-balancer.test.ts',
    ),
    tests('the kernel: applied, healed, cleaned up', 'test/netns/routing.test.ts', 'test/netns/routing-heal.test.ts'),
    tests('200 nodes: FIB right within 1 s, nothing else touched', 'test/netns/routing-convergence.test.ts'),
    tests('overlay matrix, T15, T16: none, host-gw, VXLAN', 'test/netns/routing-overlay.test.ts'),
    tests('overlay matrix, T15, T16: ipip, FoU, WireGuard', 'test/kernel/routing-overlay.test.ts'),
    tests('T1, T2, T6-T8 with BIRD and FRR', 'test/peers/ingress-ecmp.test.ts'),
    tests('annotations of nodes, live, BIRD as the judge', 'test/peers/ingress-annotations.test.ts'),
    tests('headline, T2-T5 and T7: a director dies under load', 'test/kernel/routing-ingress.test.ts'),
  ],
  informers: () => [
    tests(
      'projections, sources, fault table, model check of 160 histories',
      'src/{objects,informers,testing}/**/*.test.ts',
    ),
    tests('lasting faults: at most ten LISTs a minute', 'test/proof/informers-lists.test.ts'),
    tests('witnesses: client-node and kubectl', 'test/peers/apiserver*.test.ts'),
    tests('a real kube-apiserver, where KUBEBUILDER_ASSETS has one', 'test/peers/envtest.test.ts'),
    tests('the same suite against a stand-in: starts, kills, stops, skips', 'test/peers/envtest-stand-in.test.ts'),
    script('50,000 pods and 1,000 changes a second beside client-node', 'bench/run.ts', 'informers'),
  ],
  agent: () => [
    tests('agent', 'examples/agent/**/*.test.ts'),
    tests('contracts against the reference', 'test/proof/agent-reference.test.ts'),
    tests(
      'the built agent on a node: objects, reload, gate, refusals, secrets, page',
      'test/proof/agent-{namespaces,refusals,secrets,page}.test.ts',
    ),
    tests('the image', 'test/proof/agent-image.test.ts'),
    tests('the API in trouble', 'test/proof/agent-faults.test.ts'),
    tests('one pass, cleanup of every combination of blocks', 'test/proof/agent-{once,cleanup}.test.ts'),
    tests('from kube-router and back, under traffic', 'test/proof/agent-migration.test.ts'),
    tests('fifty restarts under traffic', 'test/proof/agent-restarts.test.ts'),
    script('cost on an idle node', 'bench/run.ts', 'agent'),
  ],
  sdk: () => [
    tests('package: contents, types, bundles, cost', 'test/package/{consumers,exports}.test.ts'),
    script('npm audit of what users install', 'scripts/audit.ts'),
    {
      name: 'the site: every export documented, no broken link, every block of documentation that runs here',
      command: ['npm', 'run', 'docs'],
    },
    tests('the site in Chromium', 'test/proof/docs-site.test.ts'),
    tests('examples and guides against real daemons', 'test/kernel/docs-guest.test.ts'),
    tests('guides and stories in the lab', 'test/proof/docs-lab.test.ts'),
    tests('a project that installs the tarball', 'test/proof/scratch-project.test.ts'),
  ],
};

/** Exit code of a step that could judge nothing, as automake's tests say it. */
const CANNOT_SAY = 77;

function run({ command, env }: Step): Promise<number> {
  const [file = '', ...args] = command;
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { cwd: root, stdio: 'inherit', env: { ...process.env, ...env } });
    child.on('error', reject);
    child.on('close', (code) => {
      resolve(code ?? 1);
    });
  });
}

const block = process.argv[2] ?? '';
const only = process.env['ONLY'] ?? '';
const proof = proofs[block];
if (proof === undefined || !existsSync(node)) {
  console.error(`usage: [ONLY=words] proof.ts ${Object.keys(proofs).join('|')}`);
  process.exit(2);
}
const all = proof();
const chosen = all.filter(({ name }) => name.includes(only));
const steps = new Set(chosen.flatMap((step) => (step.needs === undefined ? [step] : [step.needs, step])));
if (steps.size === 0) {
  console.error(`no step of ${block} has "${only}" in its name: ${all.map(({ name }) => name).join('; ')}`);
  process.exit(2);
}
const seen: string[] = [];
let failed = 0;
let unknown = 0;
for (const step of steps) {
  const began = performance.now();
  const code = await run(step);
  if (code === CANNOT_SAY) unknown++;
  else if (code !== 0) failed++;
  const seconds = ((performance.now() - began) / 1000).toFixed(1).padStart(7);
  const outcome = code === 0 ? 'held     ' : code === CANNOT_SAY ? 'NOT SHOWN' : 'FAILED   ';
  seen.push(`${outcome} ${seconds} s  ${step.name}`);
}
console.log(
  `\nproof of ${block}${only === '' ? '' : `, of all steps those with "${only}"`}\n${seen.join('\n')}\n${seen.length - failed - unknown} held, ${failed} failed${unknown === 0 ? '' : `, ${unknown} could not be shown here`}`,
);
process.exit(failed === 0 ? 0 : 1);

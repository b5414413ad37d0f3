/**
 * The built agent in a network namespace of its own, against the test API server: what it programs, what it keeps when the API
 * and then it itself are gone, how it takes a new configuration while it runs, how it gates the start of pods, what it listens
 * on, whom its page refuses, and what it leaves at SIGTERM.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, statSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  agentMain,
  agentNode,
  applyObjects,
  createAgentNetns,
  until,
  webPolicy,
  type AgentNetns,
} from '../support/agent-netns.ts';

const gatePlugin = fileURLToPath(new URL('../../examples/agent/image/kube-router-gate', import.meta.url));
const TAINT = 'kube-router.io/agent-not-ready';

let node: AgentNetns;
const config = (): string => `${node.folder}/config.yaml`;
const start = (): void =>
  node.start(
    `--config=${config()}`,
    '--metrics-port=9100',
    '--metrics-addr=127.0.0.1',
    '--admin-port=9101',
    '--peer-router-ips=198.18.255.9',
    '--peer-router-asns=65000',
    '--network-condition',
    '-v1',
  );
const rules = (): string => node.rules();
const spec = (): { taints?: { key: string }[] } => node.server.get('Node', 'node1')?.['spec'] ?? {};

beforeAll(async () => {
  node = await createAgentNetns();
  applyObjects(node.server, node.own);
  const raw = node.server.get('Node', 'node1') as unknown as Record<string, Record<string, unknown>>;
  const taints = [
    { key: TAINT, effect: 'NoSchedule' },
    { key: 'other', effect: 'NoSchedule' },
  ];
  node.server.apply({ ...raw, apiVersion: 'v1', kind: 'Node', spec: { ...raw['spec'], taints } });
  writeFileSync(config(), 'service-node-port-range: 30000-32767\n');
}, 60_000);
afterAll(() => node.close(), 60_000);

describe('an agent and its API', () => {
  test('becomes ready with the policy in force, and says so of its Node', async () => {
    start();
    await node.ready();
    expect(rules()).toContain('--dport 8080');
    expect(statSync(`${node.folder}/run/admin.sock`).mode & 0o777).toBe(0o600);
    await until('the taint is gone', () => spec().taints?.some(({ key }) => key === TAINT) === false);
    expect(spec().taints?.map(({ key }) => key)).toEqual(['other']);
    await until('the condition', () => {
      const status = (node.server.get('Node', 'node1')?.['status'] ?? {}) as {
        conditions?: { type: string; status: string }[];
      };
      return (
        status.conditions?.some(({ type, status: is }) => type === 'NetworkUnavailable' && is === 'False') ?? false
      );
    });
  }, 120_000);

  test('a policy edited through the API is in the kernel soon', async () => {
    node.server.apply(webPolicy(9090));
    await until('the edited rule', () => rules().includes('--dport 9090') && !rules().includes('--dport 8080'));
  });

  test('listens on health and BGP; metrics and the page are on loopback as the flags say', async () => {
    const sockets = (): string[] =>
      node
        .inside('ss', '-Hltnu')
        .split('\n')
        .flatMap((line) => /\s(\S+):(\d+)\s+\S+:\*/.exec(line)?.slice(1, 3).join(' ') ?? []);
    await until('BGP listens', () => sockets().some((one) => one.endsWith(' 179')));
    const loopback = sockets().filter((one) => one.startsWith('127.0.0.1 '));
    expect(loopback.map((one) => one.split(' ')[1]).sort()).toEqual(['9100', '9101']);
    const others = sockets().filter((one) => !one.startsWith('127.0.0.1 '));
    expect(others.map((one) => one.split(' ')[1]).sort()).toEqual(['179', '20244']);
  });

  test('the page and its API refuse other sites', () => {
    const code = (...args: string[]): string =>
      node.get(9101, '/api/status', '-o', '/dev/null', '-w', '%{http_code}', ...args);
    expect(code()).toBe('200');
    expect(code('-H', 'Host: evil.example')).toBe('403');
    expect(code('-H', 'Host: 127.0.0.1.evil.example:9101')).toBe('403');
    expect(code('-H', 'Origin: http://evil.example')).toBe('403');
    expect(code('-H', 'Sec-Fetch-Site: cross-site')).toBe('403');
    expect(code('-H', 'Sec-Fetch-Site: same-origin', '-H', 'Origin: http://127.0.0.1:9101')).toBe('200');
    // What changes anything is not on the port at all.
    expect(node.get(9101, '/gate?pod=default/web', '-X', 'POST', '-o', '/dev/null', '-w', '%{http_code}')).toBe('405');
  });

  test('explain asks the running agent', () => {
    const denied = spawnSync(
      agentNode,
      [agentMain, 'explain', '--from=1.2.3.4', '--to=default/web', '--port=80', `--run-dir=${node.folder}/run`],
      { encoding: 'utf8' },
    );
    expect(denied.stdout).toContain('denied');
    expect(denied.status).toBe(4);
  });

  test('metrics of kube-router have values', async () => {
    node.server.apply(webPolicy(9091));
    await until('the rule', () => rules().includes('--dport 9091'));
    const page = node.get(9100, '/metrics');
    for (const name of [
      'iptables_v4_restore_time',
      'policy_ipset_v4_restore_time',
      'iptables_v4_save_time',
      'iptables_sync_time',
      'policy_chains_sync_time',
      'routes_sync_time',
    ])
      expect(
        Number(new RegExp(`^kube_router_controller_${name}_count (\\d+)`, 'm').exec(page)?.[1]),
        name,
      ).toBeGreaterThan(0);
    for (const name of ['controller_policy_chains', 'controller_policy_ipsets'])
      expect(Number(new RegExp(`^kube_router_${name} (\\d+)`, 'm').exec(page)?.[1]), name).toBeGreaterThan(0);
    expect(page).toContain('kube_router_bgp_peer_info{address="198.18.255.9",type="external",asn="65000"');
    expect(page).toMatch(
      /kube_router_policy_packets_total\{policy="default\/web",direction="ingress",verdict="refused"\} \d+/,
    );
  });
});

describe('a new configuration while it runs', () => {
  const range = (): boolean => rules().includes('--dport 31000:31999');
  test('a changed file is taken; a bad one is refused and the old one stays', async () => {
    expect(range()).toBe(false);
    writeFileSync(config(), 'service-node-port-range: 31000-31999\n');
    await until('the new range', range);
    writeFileSync(config(), 'service-node-port-range: 5\n');
    await until('the complaint', () => node.log.includes('the new configuration is refused'));
    expect(node.log).toContain('config.yaml:1:26');
    expect(range()).toBe(true);
  });
  test('SIGHUP reads it again, and sessions of BGP that did not change stay', async () => {
    const process = node.agent;
    writeFileSync(config(), 'service-node-port-range: 30000-32767\n');
    process?.kill('SIGHUP');
    await until('the old range', () => rules().includes('--dport 30000:32767'));
    expect(node.log.match(/BGP started/g)).toHaveLength(1);
    expect(process?.exitCode).toBeNull();
  });
  test('what concerns the process as a whole starts it over; the kernel keeps what it has', async () => {
    const before = rules();
    writeFileSync(config(), 'service-node-port-range: 30000-32767\ncache-sync-timeout: 90s\n');
    await until('another life', () => node.log.includes('starting over'));
    await node.ready();
    expect(rules()).toBe(before);
  }, 120_000);
});

describe('the gate of pod start', () => {
  const plugin = async (pod: string, ips: string[], extra: object = {}) => {
    const result = {
      cniVersion: '1.0.0',
      interfaces: [{ name: 'eth0', sandbox: '/x' }],
      ips: ips.map((ip) => ({ address: ip, interface: 0 })),
    };
    const input = {
      cniVersion: '1.0.0',
      name: 'kubernetes',
      type: 'kube-router-gate',
      socket: `${node.folder}/run/admin.sock`,
      prevResult: result,
      ...extra,
    };
    const child = spawn('sh', [gatePlugin], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: {
        PATH: process.env['PATH'],
        CNI_COMMAND: 'ADD',
        CNI_ARGS: `IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=${pod}`,
      },
    });
    let stdout = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stdin.end(JSON.stringify(input));
    // Not synchronously: the API server that the agent asks lives in this process.
    const [status] = (await once(child, 'close')) as [number];
    return { status, stdout };
  };
  const pending = (name: string) => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name, namespace: 'default', labels: { app: 'web' } },
    spec: { nodeName: 'node1', containers: [] },
    status: { phase: 'Pending' },
  });
  test('ADD ends when the rules of the pod are in, with the result of the plugin before', async () => {
    node.server.apply(pending('late'));
    expect(node.inside('ipset', 'save')).not.toContain('10.77.1.9');
    const { status, stdout } = await plugin('late', ['10.77.1.9/24']);
    expect(status, stdout).toBe(0);
    // At that moment, not a while later.
    expect(node.inside('ipset', 'save')).toContain('10.77.1.9');
    expect(JSON.parse(stdout)).toMatchObject({ ips: [{ address: '10.77.1.9/24' }] });
  });
  test('a pod that the API does not know is held, and refused in time', async () => {
    const { status, stdout } = await plugin('nobody', ['10.77.1.10/24'], { timeoutSeconds: 2 });
    expect(status).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ code: 11, msg: expect.stringContaining('default/nobody') as string });
  });
  test('without an agent pods do not start, unless that is asked for', async () => {
    const nowhere = { socket: `${node.folder}/none.sock`, timeoutSeconds: 1 };
    expect((await plugin('late', ['10.77.1.9/24'], nowhere)).status).toBe(1);
    expect((await plugin('late', ['10.77.1.9/24'], { ...nowhere, failOpen: true })).status).toBe(0);
  });
});

describe('ends', () => {
  test('killed, with the API gone: the next start keeps the node as it is', async () => {
    // The snapshot is written twice a minute.
    await until('a snapshot', () => existsSync(`${node.folder}/state/snapshot.json`), 60_000);
    const before = rules();
    node.server.setFrozen(true);
    node.agent?.kill('SIGKILL');
    await node.ended();
    expect(rules()).toBe(before);
    start();
    await node.ready();
    expect(node.log).toContain('starting from the last good objects');
    expect(rules()).toBe(before);
  }, 120_000);

  test('the API is back: changes arrive again by themselves', async () => {
    node.server.setFrozen(false);
    node.server.apply(webPolicy(7070));
    await until('the rule made after the outage', () => rules().includes('--dport 7070'), 90_000);
  }, 120_000);

  test('SIGTERM ends it with 0 and leaves the rules; cleanup takes them away', async () => {
    const before = rules();
    // `ip netns exec` has become the agent: the signal reaches it.
    node.agent?.kill('SIGTERM');
    expect(await node.ended(), `${node.agent?.signalCode} ${node.log.slice(-1500)}`).toBe(0);
    expect(rules()).toBe(before);
    const cleanup = await node.call('cleanup', '--output=json');
    expect(cleanup.status, cleanup.stdout + cleanup.stderr).toBe(0);
    expect(rules()).not.toContain('KUBE-');
    expect(node.inside('ipset', 'list', '-n')).toBe('');
    expect(node.inside('ip', 'route', 'show', 'proto', '17')).toBe('');
  }, 120_000);
});

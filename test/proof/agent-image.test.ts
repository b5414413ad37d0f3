/**
 * The image without a container engine: the root file system that the Dockerfile describes, put together from Debian's packages,
 * entered by chroot with the capabilities and the read-only root of the DaemonSet, and the agent run in it on a node of its own.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parse } from 'yaml';

const project = fileURLToPath(new URL('../..', import.meta.url));
const dockerfile = readFileSync(join(project, 'examples/agent/image/Dockerfile'), 'utf8').replaceAll(/\\\n\s*/g, '');
const final = dockerfile.slice(dockerfile.lastIndexOf('\nFROM '));
const suite = /^FROM debian:([a-z]+)/m.exec(final)?.[1] ?? '';
const packages = (/apt-get install -y --no-install-recommends (.*?) &&/.exec(final)?.[1] ?? '').trim().split(/\s+/);
const entry = (JSON.parse(/^ENTRYPOINT (.*)$/m.exec(final)?.[1] ?? '[]') as string[])[0] ?? '';
const capabilities = (
  parse(readFileSync(join(project, 'examples/agent/manifests/base/daemonset.yaml'), 'utf8')) as {
    spec: { template: { spec: { containers: { securityContext: { capabilities: { add: string[] } } }[] } } };
  }
).spec.template.spec.containers[0]?.securityContext.capabilities.add;

const id = `kra-img-${process.pid}`;
let folder = '';
let root = '';
const run = (file: string, args: readonly string[]) => {
  const { status, stdout, stderr } = spawnSync(file, args, { encoding: 'utf8', timeout: 600_000, maxBuffer: 64 << 20 });
  return { status, text: stdout + stderr };
};
const must = (file: string, ...args: string[]): string => {
  const { status, text } = run(file, args);
  if (status !== 0) throw new Error(`${file} ${args.join(' ')}: ${text.slice(-3000)}`);
  return text;
};

/** What the final stage does after its packages, line by line. */
function assemble(): void {
  for (const line of final.split('\n')) {
    const [word = '', ...rest] = line.trim().split(/\s+/);
    if (word === 'COPY') {
      const stage = rest[0]?.startsWith('--from=') === true ? rest.shift() : undefined;
      const [from = '', to = ''] = rest;
      const source =
        from === '/node'
          ? join(project, 'node_modules/node/bin/node')
          : join(project, stage === undefined ? from : from.replace(/^\/src\//, ''));
      mkdirSync(dirname(join(root, to)), { recursive: true });
      if (from.endsWith('node_modules')) {
        // The tree as it is here; the image has it without what is for building alone.
        mkdirSync(join(root, to), { recursive: true });
        must('mount', '--bind', source, join(root, to));
      } else
        cpSync(source, join(root, to), {
          recursive: true,
          dereference: true,
          filter: (path) => !/examples\/agent\/node_modules/.test(path),
        });
    } else if (word === 'RUN' && !line.includes('apt-get')) {
      must('chroot', root, 'sh', '-c', line.slice(4));
    }
  }
}
/** A command in the image, in the node's namespace: read-only root, /run of its own, only the DaemonSet's capabilities. */
const inImage = (...command: string[]) => {
  const caps = (capabilities ?? []).map((name) => `+${name.toLowerCase()}`).join(',');
  const script = [
    `mount --rbind ${root} ${root}`,
    `mount -t proc proc ${root}/proc`,
    `mount -o remount,bind,ro ${root}`,
    `mount -t tmpfs tmpfs ${root}/run`,
    `mkdir -p ${root}/run/node && mount --bind ${folder}/node ${root}/run/node`,
    `exec chroot ${root} setpriv --bounding-set=-all,${caps} --inh-caps=-all,${caps} -- "$@"`,
  ].join('\n');
  return run('ip', ['netns', 'exec', id, 'unshare', '--mount', 'sh', '-ec', script, 'sh', ...command]);
};
const flags = [
  '--manifests=/run/node/cluster',
  '--hostname-override=node1',
  '--run-service-proxy=false',
  '--run-dir=/run/node/run',
  '--state-dir=/run/node/state',
];

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), `${id}-`));
  root = join(folder, 'root');
  must('ip', 'netns', 'add', id);
  must('ip', '-n', id, 'link', 'add', 'eth0', 'type', 'veth', 'peer', 'name', 'eth1');
  for (const link of ['lo', 'eth0', 'eth1']) must('ip', '-n', id, 'link', 'set', link, 'up');
  must('ip', '-n', id, 'addr', 'add', '198.18.99.2/24', 'dev', 'eth0');
  mkdirSync(join(folder, 'node/cluster'), { recursive: true });
  writeFileSync(
    join(folder, 'node/cluster/all.yaml'),
    `apiVersion: v1
kind: Node
metadata: { name: node1 }
spec: { podCIDRs: [10.77.1.0/24] }
status: { addresses: [{ type: InternalIP, address: 198.18.99.2 }] }
---
apiVersion: v1
kind: Namespace
metadata: { name: default }
---
apiVersion: v1
kind: Pod
metadata: { name: web, namespace: default, labels: { app: web } }
spec: { nodeName: node1, containers: [] }
status: { phase: Running, hostIP: 198.18.99.2, podIP: 10.77.1.5, podIPs: [{ ip: 10.77.1.5 }] }
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: { name: web, namespace: default }
spec: { podSelector: { matchLabels: { app: web } }, policyTypes: [Ingress], ingress: [{ ports: [{ port: 8080 }] }] }
`,
  );
  // /dev/null and friends come with debootstrap's minimal variant; packages are configured by their own scripts.
  must('debootstrap', '--variant=minbase', `--include=${packages.join(',')}`, suite, root);
  assemble();
}, 1_200_000);

afterAll(() => {
  run('umount', [join(root, 'opt/kube-router/node_modules')]);
  run('ip', ['netns', 'del', id]);
  if (!existsSync(join(root, 'opt/kube-router/node_modules/vitest'))) rmSync(folder, { recursive: true, force: true });
});

describe('the image', () => {
  test('is pinned and built for more than one architecture', () => {
    for (const line of dockerfile.split('\n').filter((one) => one.startsWith('FROM ')))
      expect(line).toMatch(/^FROM debian:[a-z]+-\d{8}-slim/);
    expect(dockerfile).toContain('--platform linux/amd64,linux/arm64');
  });
  test('its Node runs the agent', () => {
    expect(inImage(entry, '--version').text).toMatch(/^kube-router-agent \d+\.\d+\.\d+\n$/);
    expect(inImage('/usr/local/bin/node', '--version').text).toMatch(/^v2[46]\./);
  });
  test('has every program that the agent looks for, both flavours of iptables among them', () => {
    const programs = [
      'ip',
      'ipset',
      'ipvsadm',
      'conntrack',
      'nft',
      'modprobe',
      'iptables-nft-restore',
      'iptables-legacy-restore',
      'ip6tables-nft-save',
      'ip6tables-legacy-save',
      'setpriv',
    ];
    for (const program of programs) expect(inImage('sh', '-c', `command -v ${program}`).status, program).toBe(0);
  });
  test.each(['legacy', 'nft'])('programs the node with the flavour that the host uses: %s', (flavour) => {
    const other = flavour === 'legacy' ? 'nft' : 'legacy';
    must(
      'ip',
      'netns',
      'exec',
      id,
      `iptables-${flavour}`,
      '-A',
      'INPUT',
      '-p',
      'tcp',
      '--dport',
      '1',
      '-m',
      'comment',
      '--comment',
      'host',
      '-j',
      'ACCEPT',
    );
    const once = inImage(entry, 'run', '--once', '--output=json', ...flags);
    expect(once.status, once.text).toBe(0);
    const rules = (which: string): string => must('ip', 'netns', 'exec', id, `iptables-${which}-save`, '-t', 'filter');
    expect(rules(flavour)).toContain('--dport 8080');
    expect(rules(other)).not.toContain('KUBE-');
    expect(inImage(entry, 'plan', ...flags).status).toBe(0);
    const cleanup = inImage(entry, 'cleanup', ...flags);
    expect(cleanup.status, cleanup.text).toBe(0);
    expect(rules(flavour)).not.toContain('KUBE-');
    must('ip', 'netns', 'exec', id, `iptables-${flavour}`, '-F', 'INPUT');
  });
  test('the init container installs plugins and configuration, and keeps one that is there', () => {
    const text = readFileSync(join(root, 'usr/local/bin/install-cni'), 'utf8');
    const target = join(folder, 'node/host');
    for (const name of ['bin', 'net.d', 'cfg']) mkdirSync(join(target, name), { recursive: true });
    writeFileSync(join(target, 'cfg/cni-conf.json'), '{"plain":1}');
    writeFileSync(join(target, 'cfg/cni-conf-gated.json'), '{"gated":1}');
    writeFileSync(
      join(target, 'install'),
      text.replaceAll('/opt/cni/bin', '/run/node/host/bin').replaceAll('/etc/kube-router/', '/run/node/host/cfg/'),
    );
    const install = (gate: string): string => {
      const { status, text: said } = inImage(
        'env',
        `KUBE_ROUTER_GATE=${gate}`,
        'KUBE_ROUTER_CNI_CONF_FILE=/run/node/host/net.d/10.conflist',
        'sh',
        '/run/node/host/install',
      );
      expect(status, said).toBe(0);
      return readFileSync(join(target, 'net.d/10.conflist'), 'utf8');
    };
    expect(install('true')).toBe('{"gated":1}');
    expect(install('false')).toBe('{"gated":1}');
    rmSync(join(target, 'net.d/10.conflist'));
    expect(install('false')).toBe('{"plain":1}');
    for (const plugin of ['bridge', 'host-local', 'loopback', 'portmap', 'kube-router-gate'])
      expect(existsSync(join(target, 'bin', plugin)), plugin).toBe(true);
    expect(inImage('env', 'CNI_COMMAND=VERSION', '/run/node/host/bin/kube-router-gate').text).toContain(
      'supportedVersions',
    );
  });
});

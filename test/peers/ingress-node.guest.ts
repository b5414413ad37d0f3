/**
 * One node of a small cluster as a program of its own, to be run in a network namespace: peers, speaker, ingress and routing wired by hand,
 * as the agent does it, with Kubernetes objects coming in as JSON lines on standard input. Says what happens as JSON lines.
 */
import { createInterface } from 'node:readline';
import { BehaviorSubject } from 'rxjs';
import { createSpeaker } from '../../src/bgp/index.ts';
import type { Policy } from '../../src/bgp/index.ts';
import { createIngressCompiler } from '../../src/ingress/index.ts';
import type { IngressInput } from '../../src/ingress/index.ts';
import { createRunner, reconcile } from '../../src/kernel/index.ts';
import type { Desired } from '../../src/kernel/index.ts';
import type { Advertisement } from '../../src/net/index.ts';
import type { NodeObject } from '../../src/objects/types.ts';
import type { PeersOptions, RoutingState } from '../../src/routing/index.ts';
import {
  advertisements,
  createRoutingCompiler,
  createRoutingTarget,
  peers,
  readUnderlay,
  watchRouting,
} from '../../src/routing/index.ts';

/** One line of input. */
export interface NodeInput extends IngressInput {
  readonly nodes?: readonly { readonly key: string; readonly object: NodeObject | undefined }[];
}

const [name = '', optionText = '{}', quiet = ''] = process.argv.slice(2);
const options = JSON.parse(optionText) as PeersOptions;
const say = (row: Record<string, unknown>): void => void process.stdout.write(`${JSON.stringify(row)}\n`);

// Nothing learned from other nodes is passed on: each speaks for itself.
const ownOnly: Policy = { readsPrefix: false, evaluate: (route) => route.origin !== undefined };
const podsOnly: Policy = { readsPrefix: false, evaluate: (route) => route.origin === 'pod-cidr' };
const nodes = new Map<string, NodeObject>();
const ingress = createIngressCompiler(name, {
  advertiseExternalIp: true,
  externalIpRanges: ['192.0.2.0/24'],
});
let vips: readonly Advertisement[] = [];
let started: Promise<void> | undefined;
let take: (input: NodeInput) => void = () => undefined;

async function start(): Promise<void> {
  const own = nodes.get(name);
  if (own === undefined) return;
  const config = peers({ node: name, nodes: nodes.values(), options });
  const toPeers = () =>
    peers({ node: name, nodes: nodes.values(), options }).peers.map((peer) => ({
      address: peer.address,
      asn: peer.asn,
      port: peer.port,
      name: peer.name,
      ...(peer.localAddress === undefined ? {} : { localAddress: peer.localAddress }),
      holdTime: peer.holdTimeSeconds,
      idleHoldTime: 1,
      connectRetryTime: 1,
      families: peer.families.map((family) => (family === 4 ? ('ipv4-unicast' as const) : ('ipv6-unicast' as const))),
      // Service addresses go to routers outside alone, as in kube-router.
      exportPolicy: peer.kind === 'internal' ? podsOnly : ownOnly,
    }));
  const speaker = await createSpeaker({
    asn: config.asn,
    routerId: config.routerId,
    listen: config.listen.map((address) => ({ address, port: config.port })),
    peers: toPeers(),
    multipath: { ibgp: 8, ebgp: 8 },
    syncTimeout: 10,
  });
  const announced = new BehaviorSubject<readonly Advertisement[]>([...advertisements(own), ...vips]);
  speaker.announce(announced);
  let up = -1;
  speaker.peers$.subscribe((list) => {
    const now = list.filter((peer) => peer.state === 'established').length;
    if (now !== up) say({ established: (up = now), at: Date.now() });
  });

  const runner = createRunner();
  const compiler = createRoutingCompiler({ node: name, overlay: 'none', podEgress: quiet === '' });
  const underlay = await readUnderlay({ runner, node: own });
  const first = compiler.update({
    ...(underlay === undefined ? {} : { underlay }),
    nodes: [...nodes].map(([key, object]) => ({ key, object })),
  });
  const desired = new BehaviorSubject<Desired<RoutingState>>({ state: first.state, synced: false });
  let synced = false;
  speaker.routes$.subscribe((learned) => {
    synced = learned.synced;
    const { state, dirty } = compiler.update({ learned });
    desired.next({ state, dirty, synced });
  });
  const target = createRoutingTarget({ runner });
  reconcile(desired, target, { drift$: watchRouting({ runner, target }) }).events$.subscribe((pass) => {
    if (pass.changes > 0)
      say({ changes: pass.changes, remaining: pass.remaining, latencyMs: pass.latencyMs, at: Date.now() });
  });

  take = (input) => {
    if (input.nodes !== undefined) {
      const { state, dirty } = compiler.update({ nodes: input.nodes });
      desired.next({ state, dirty, synced });
      speaker.setPeers(toPeers());
    }
    const self = nodes.get(name);
    announced.next([...(self === undefined ? [] : advertisements(self)), ...vips]);
  };
  say({ listening: config.listen });
}

createInterface({ input: process.stdin }).on('line', (line) => {
  const input = JSON.parse(line) as NodeInput;
  for (const { key, object } of input.nodes ?? []) {
    if (object === undefined) nodes.delete(key);
    else nodes.set(key, object);
  }
  vips = ingress.update(input).advertisements;
  if (started === undefined) started = start();
  void started.then(() => take(input));
});

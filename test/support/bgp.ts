/**
 * Scenes for tests with real BGP daemons: a namespace, one daemon of Debian in it as AS 65000, our speaker outside.
 * Every daemon originates 192.0.2.0/24 and 2001:db8:f::/48 unless told otherwise; everything made is undone by `tidy`.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createSpeaker } from 'kube-router-sdk/bgp';
import type { PeerOptions, Speaker, SpeakerOptions } from 'kube-router-sdk/bgp';
import type { Daemon } from './daemons.ts';
import { startBird, startExabgp, startFrr, startGobgp } from './daemons.ts';
import type { TestNetns } from './netns.ts';
import { createTestNetns, until } from './netns.ts';

const cleanups: (() => void | Promise<void>)[] = [];

/** Undoes what a test made, the last first. */
export async function tidy(): Promise<void> {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
}

/** Something to undo at the end. */
export function undo(cleanup: () => void | Promise<void>): void {
  cleanups.push(cleanup);
}

/** A namespace that goes with the test. */
export function netns(): TestNetns {
  const ns = createTestNetns('krbg');
  undo(() => ns.close());
  return ns;
}

/** Our speaker and what it said. */
export interface Talking {
  readonly speaker: Speaker;
  /** `type: reason`, in order. */
  readonly events: string[];
  /** Prefixes that routes$ took back, in order. */
  readonly removed: string[];
}

/** Our speaker as it is in most tests: AS 65001, 10.0.0.1, listening on our end, one peer at the other end. */
export async function speak(
  ns: TestNetns,
  peer: Partial<PeerOptions> = {},
  options: Partial<SpeakerOptions> = {},
): Promise<Talking> {
  const speaker = await createSpeaker({
    asn: 65001,
    routerId: '10.0.0.1',
    listen: [{ address: ns.here4, port: 179 }],
    peers: [{ address: ns.there4, asn: 65000, connectRetryTime: 1, idleHoldTime: 0.2, ...peer }],
    ...options,
  });
  undo(() => speaker.close());
  const events: string[] = [];
  const removed: string[] = [];
  speaker.events$.subscribe((event) => events.push(`${event.type}: ${event.reason}`));
  speaker.routes$.subscribe((changes) => removed.push(...changes.removed));
  return { speaker, events, removed };
}

/** Waits until a peer is up and has told everything it has. */
export async function up(speaker: Speaker, index = 0): Promise<void> {
  const peer = () => speaker.peers()[index];
  await until('the session', () => peer()?.state === 'established' && peer()?.synced === true).catch(
    (error: unknown) => {
      throw new Error(`no session: ${peer()?.state}, ${peer()?.lastError}`, { cause: error });
    },
  );
}

/** A second that must pass in which nothing may happen. */
export const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** What differs between the configurations of a daemon. */
export interface Scene {
  /** Our AS. @defaultValue 65001 */
  readonly asn?: number;
  /** The daemon's AS. @defaultValue 65000 */
  readonly own?: number;
  /** BIRD's identifier. @defaultValue 10.0.0.254 */
  readonly id?: string;
  /** Prefixes that BIRD originates. @defaultValue 192.0.2.0/24, 2001:db8:f::/48 */
  readonly originates?: readonly string[];
  /** Lines of the neighbour; `PEER` is our address. */
  readonly neighbour?: string;
  /** Lines of the IPv4 family, or of both channels of BIRD. */
  readonly family?: string;
  /** Lines of the whole. */
  readonly global?: string;
  /** The session runs over IPv6. */
  readonly over6?: boolean;
  readonly args?: readonly string[];
}

const ends = (ns: TestNetns, over6 = false): readonly [here: string, there: string] =>
  over6 ? [ns.here6, ns.there6] : [ns.here4, ns.there4];

/** BIRD's configuration; its session is the protocol `speaker`. */
export function birdConfig(ns: TestNetns, scene: Scene = {}): string {
  const [here, there] = ends(ns, scene.over6);
  const { originates = ['192.0.2.0/24', '2001:db8:f::/48'] } = scene;
  const fixed = (of6: boolean): string =>
    originates
      .filter((prefix) => prefix.includes(':') === of6)
      .map((prefix) => `route ${prefix} blackhole;`)
      .join(' ');
  return `router id ${scene.id ?? '10.0.0.254'};
log stderr all;
protocol device {}
protocol direct { ipv4; ipv6; }
protocol static fixed4 { ipv4; ${fixed(false)} }
protocol static fixed6 { ipv6; ${fixed(true)} }
${scene.global ?? ''}
protocol bgp speaker {
  local ${there} as ${scene.own ?? 65000};
  neighbor ${here} as ${scene.asn ?? 65001};
  connect retry time 1; connect delay time 1; error wait time 1, 2;
  ${scene.neighbour ?? ''}
  ipv4 { import all; export where source ~ [ RTS_STATIC, RTS_BGP ]; ${scene.family ?? ''} };
  ipv6 { import all; export where source ~ [ RTS_STATIC, RTS_BGP ]; ${scene.family ?? ''} };
}
`;
}

/** BIRD at the other end. */
export async function bird(ns: TestNetns, scene: Scene = {}): Promise<Daemon> {
  const made = await startBird(ns, birdConfig(ns, scene), scene.args);
  undo(() => made.close());
  return made;
}

/** FRR at the other end. */
export async function frr(ns: TestNetns, scene: Scene = {}, daemons: readonly 'bfdd'[] = []): Promise<Daemon> {
  const [here] = ends(ns, scene.over6);
  const text = (lines = ''): string => lines.replaceAll('PEER', here);
  const made = await startFrr(
    ns,
    `hostname bgpd
log stdout
router bgp ${scene.own ?? 65000}
 bgp router-id 10.0.0.254
 no bgp default ipv4-unicast
 no bgp ebgp-requires-policy
 no bgp network import-check
 ${text(scene.global)}
 neighbor ${here} remote-as ${scene.asn ?? 65001}
 neighbor ${here} timers connect 1
 ${text(scene.neighbour)}
 address-family ipv4 unicast
  network 192.0.2.0/24
  neighbor ${here} activate
  ${text(scene.family)}
 exit-address-family
 address-family ipv6 unicast
  network 2001:db8:f::/48
  neighbor ${here} activate
 exit-address-family
`,
    scene.args,
    daemons,
  );
  undo(() => made.close());
  return made;
}

/** Runs lines of FRR's configuration on its bgpd. */
export function configureFrr(ns: TestNetns, daemon: Daemon, ...lines: readonly string[]): string {
  const commands = ['configure terminal', ...lines].flatMap((line) => ['-c', line]);
  return ns.exec('vtysh', ['--vty_socket', daemon.folder, '-d', 'bgpd', ...commands]);
}

/** A path as FRR shows it. */
export interface FrrPath {
  readonly aspath: { readonly string: string };
  readonly metric?: number;
  readonly locPrf?: number;
  readonly stale?: boolean;
  readonly community?: { readonly string: string };
  readonly largeCommunity?: { readonly string: string };
  readonly extendedCommunity?: { readonly string: string };
  readonly originatorId?: string;
  readonly clusterList?: { readonly list: readonly string[] };
  readonly nexthops: readonly { readonly ip: string; readonly scope?: string }[];
}

/** FRR's paths to a prefix. */
export function frrPaths(daemon: Daemon, prefix: string): readonly FrrPath[] {
  const family = prefix.includes(':') ? 'ipv6' : 'ipv4';
  const answer = JSON.parse(daemon.ask(`show bgp ${family} unicast ${prefix} json`)) as { paths?: FrrPath[] };
  return answer.paths ?? [];
}

/** GoBGP at the other end; routes are added by its client. */
export async function gobgp(ns: TestNetns, scene: Scene = {}): Promise<Daemon> {
  const [here, there] = ends(ns, scene.over6);
  const family = (name: string): string => `[[neighbors.afi-safis]]
[neighbors.afi-safis.config]
afi-safi-name = "${name}"
${(scene.family ?? '').trim()}
`;
  const made = await startGobgp(
    ns,
    `[global.config]
as = ${scene.own ?? 65000}
router-id = "10.0.0.254"
local-address-list = ["${there}"]
${scene.global ?? ''}
[[neighbors]]
[neighbors.config]
neighbor-address = "${here}"
peer-as = ${scene.asn ?? 65001}
admin-down = true
${scene.neighbour ?? ''}
${family('ipv4-unicast')}
${family('ipv6-unicast')}
`,
    scene.args,
  );
  undo(() => made.close());
  made.ask('global rib add 192.0.2.0/24 -a ipv4');
  made.ask(`global rib add 2001:db8:f::/48 nexthop ${ns.there6} -a ipv6`);
  // No session before its routes are in: it would say End-of-RIB without them, and whoever kept them over its restart would drop them.
  made.ask(`neighbor ${here} enable`);
  return made;
}

/** What ExaBGP read of ours, as its own JSON. */
export interface ExabgpUpdate {
  readonly attribute?: Readonly<Record<string, unknown>>;
  readonly announce?: Readonly<Record<string, Readonly<Record<string, readonly { readonly nlri: string }[]>>>>;
  readonly withdraw?: Readonly<Record<string, readonly { readonly nlri: string }[]>>;
}

/** ExaBGP at the other end, and the UPDATEs that it read. */
export async function exabgp(
  ns: TestNetns,
  scene: Scene = {},
): Promise<{ updates(): readonly ExabgpUpdate[] } & Daemon> {
  const folder = mkdtempSync(join(tmpdir(), 'krb-exa-'));
  undo(() => rmSync(folder, { recursive: true }));
  const file = join(folder, 'updates');
  const reader = join(folder, 'reader.py');
  // ExaBGP hands its reader a pipe that does not block.
  writeFileSync(
    reader,
    `import os
os.set_blocking(0, True)
out = open('${file}', 'wb', 0)
while data := os.read(0, 65536):
    out.write(data)
`,
  );
  const made = await startExabgp(
    ns,
    `process reader { run /usr/bin/python3 ${reader}; encoder json; }
${scene.global ?? ''}
neighbor ${ns.here4} {
  router-id 10.0.0.254;
  local-address ${ns.there4};
  local-as ${scene.own ?? 65000};
  peer-as ${scene.asn ?? 65001};
  ${scene.neighbour ?? ''}
  family { ipv4 unicast; ipv6 unicast; }
  api { processes [ reader ]; receive { parsed; update; } }
  ${scene.family ?? ''}
  static {
    route 192.0.2.0/24 next-hop ${ns.there4};
    route 2001:db8:f::/48 next-hop ${ns.there6};
  }
}
`,
  );
  undo(() => made.close());
  return {
    ...made,
    updates() {
      if (!existsSync(file)) return [];
      const lines = readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line.includes('"update"'));
      return lines.flatMap((line) => {
        try {
          const said = JSON.parse(line) as { neighbor?: { message?: { update?: ExabgpUpdate } } };
          return said.neighbor?.message?.update ?? [];
        } catch {
          // The last line may still be growing.
          return [];
        }
      });
    },
  };
}

/**
 * What a Service asks for by annotation and label: scheduler and its flags, DSR, hairpin, local, and whether it is ours at all.
 * The keys and their meaning are kube-router's; what it silently ignores becomes an issue here. Pure.
 */
import type { ServiceObject } from '../../objects/types.ts';
import type { Scheduler } from '../model.ts';

const PREFIX = 'kube-router.io/service.';
/** The annotations; written out once, for a key that is put together anew is looked up slowly. */
const KEYS = {
  scheduler: `${PREFIX}scheduler`,
  flags: `${PREFIX}schedflags`,
  dsr: `${PREFIX}dsr`,
  encap: `${PREFIX}dsr.encap`,
  hairpin: `${PREFIX}hairpin`,
  hairpinExternal: `${PREFIX}hairpin.externalips`,
  local: `${PREFIX}local`,
  skipLoadBalancer: `${PREFIX}skiplbips`,
} as const;
const SCHEDULERS: ReadonlySet<string> = new Set([
  'rr',
  'wrr',
  'lc',
  'wlc',
  'lblc',
  'lblcr',
  'sh',
  'dh',
  'sed',
  'nq',
  'fo',
  'ovf',
  'mh',
  'twos',
]);
/** The three scheduler bits. */
const FLAGS = ['flag-1', 'flag-2', 'flag-3'];
/** Names that `ipvsadm` gives to those that a scheduler knows: the third says nothing to these two, and is not listed. */
const FLAG_NAMES: Readonly<Record<string, readonly string[]>> = {
  sh: ['sh-fallback', 'sh-port'],
  mh: ['mh-fallback', 'mh-port'],
};

/** Choices of one Service. */
export interface ServiceChoices {
  readonly scheduler: Scheduler;
  readonly flags: readonly string[];
  readonly dsr: boolean;
  /** DSR packets travel in UDP. */
  readonly fou: boolean;
  readonly hairpin: boolean;
  readonly hairpinExternal: boolean;
  readonly local: boolean;
  readonly skipLoadBalancer: boolean;
}

/** Records one thing wrong with a field. */
export type Complain = (field: string, reason: string) => void;

/** Whether this proxy serves the Service at all. */
export function isServed(service: ServiceObject): boolean {
  const proxy = service.labels['service.kubernetes.io/service-proxy-name'];
  return (
    (proxy === undefined || proxy === 'kube-router') &&
    service.labels['service.kubernetes.io/headless'] === undefined &&
    service.type !== 'ExternalName' &&
    !service.headless &&
    service.clusterIPs.length > 0
  );
}

function readFlags(text: string, scheduler: string, complain: Complain): string[] {
  if (text === '') return [];
  const names = FLAG_NAMES[scheduler] ?? FLAGS;
  const flags = new Set<string>();
  for (const raw of text.split(',')) {
    const flag = raw.trim();
    if (flag === '') continue;
    const name = names[FLAGS.indexOf(flag)] ?? names.find((known) => known === flag);
    if (name !== undefined) flags.add(name);
    else if (!FLAGS.includes(flag))
      complain(`metadata.annotations[${KEYS.flags}]`, `"${flag}" is no flag of scheduler ${scheduler}; it is ignored`);
  }
  return [...flags];
}

/**
 * Reads the annotations. With `mh` and drained real servers the fallback flag is always on: without it the kernel refuses new
 * connections that hash to a server of weight 0 for as long as it drains (ip_vs_mh.c, ip_vs_mh_get).
 */
export function readChoices(
  service: ServiceObject,
  defaults: { readonly scheduler: string; readonly hairpin: boolean; readonly drain: boolean },
  complain: Complain,
): ServiceChoices {
  const { annotations } = service;
  const wanted = annotations[KEYS.scheduler] ?? defaults.scheduler;
  let scheduler: Scheduler = 'rr';
  if (SCHEDULERS.has(wanted)) scheduler = wanted as Scheduler;
  else complain(`metadata.annotations[${KEYS.scheduler}]`, `"${wanted}" is no scheduler of the kernel; rr is used`);
  const flags = readFlags(annotations[KEYS.flags] ?? '', scheduler, complain);
  const fallback = `${scheduler}-fallback`;
  if (defaults.drain && (scheduler === 'mh' || scheduler === 'sh') && !flags.includes(fallback)) flags.push(fallback);
  const method = annotations[KEYS.dsr];
  if (method !== undefined && method !== 'tunnel') {
    complain(
      `metadata.annotations[${KEYS.dsr}]`,
      `"${method}" is no DSR method, only tunnel is; the Service is served without DSR`,
    );
  }
  const encap = annotations[KEYS.encap] ?? 'ipip';
  if (encap !== 'ipip' && encap !== 'fou') {
    complain(`metadata.annotations[${KEYS.encap}]`, `"${encap}" is neither ipip nor fou; ipip is used`);
  }
  const hairpin = defaults.hairpin || annotations[KEYS.hairpin] !== undefined;
  return {
    scheduler,
    flags: flags.sort(),
    dsr: method === 'tunnel',
    fou: method === 'tunnel' && encap === 'fou',
    hairpin,
    hairpinExternal: hairpin && annotations[KEYS.hairpinExternal] !== undefined,
    local: annotations[KEYS.local] === 'true',
    skipLoadBalancer: annotations[KEYS.skipLoadBalancer] !== undefined,
  };
}

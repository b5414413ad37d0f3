/**
 * Lines of `ip -o monitor label`, judged: does the kernel still hold what we know it to hold?
 * Our own writes come back as events too; they are told apart by what they say, not by when they come.
 * Pure.
 */
import type { RoutingItem } from '../model.ts';
import { MAIN_TABLE, OVERLAY_TABLE, ROUTE_PROTOCOL } from '../model.ts';

/** What a line means. */
export interface MonitorVerdict {
  /** Parts of ours that may be gone or changed: to be read again. */
  readonly parts: readonly ('links' | 'routes' | 'rules')[];
  /** The node's own addresses or links changed: read the underlay again. */
  readonly underlay: boolean;
}

const NOTHING: MonitorVerdict = { parts: [], underlay: false };
/** A device takes along what hangs on it. */
const DEVICE: MonitorVerdict = { parts: ['links', 'routes'], underlay: true };

/** Bridge ports and container devices come and go with pods; they carry no route of ours. */
const POD_DEVICE = /^(veth|cali|lxc|docker|br-|cni)/;

/** Judge with a memory of which links were up; one per monitor process. */
export interface MonitorJudge {
  judge(line: string, known: ReadonlyMap<string, RoutingItem> | undefined): MonitorVerdict;
}

function routeKey(text: string): string | undefined {
  const match = /^(?:(?:unicast|multicast|local|broadcast|anycast|unreachable|blackhole|prohibit|throw) )?(\S+) /.exec(
    text,
  );
  const dst = match?.[1];
  if (dst === undefined) return undefined;
  const table = / table (\S+)/.exec(text)?.[1] ?? 'main';
  const number =
    table === 'main' ? MAIN_TABLE : table === `${OVERLAY_TABLE}` || table === 'kube-router' ? OVERLAY_TABLE : undefined;
  if (number === undefined || dst === 'default') return undefined;
  return `route/${number}/${dst.includes('/') ? dst : `${dst}/${dst.includes(':') ? 128 : 32}`}`;
}

/** Whether the text of a route shows every hop of the item, by the item's protocol. */
function shows(text: string, item: RoutingItem): boolean {
  if (item.type !== 'route') return false;
  const words = new Set(text.replaceAll('\\', ' ').split(/\s+/));
  return words.has(`${ROUTE_PROTOCOL}`) && item.hops.every((hop) => words.has(hop.via ?? hop.dev ?? ''));
}

/** Makes a judge. */
export function createMonitorJudge(): MonitorJudge {
  const up = new Map<string, boolean>();
  return {
    judge(line, known) {
      const match = /^\[(ROUTE|LINK|ADDR|RULE)\](Deleted )?(.*)$/.exec(line);
      if (match === null || known === undefined) return NOTHING;
      const [, label, deleted, rest = ''] = match;
      const gone = deleted !== undefined;
      switch (label) {
        case 'ROUTE': {
          const key = routeKey(rest);
          const item = key === undefined ? undefined : known.get(key);
          // A route of ours that nobody knows of, such as another agent's, is left to the next full reading.
          if (item === undefined) return NOTHING;
          return gone || !shows(rest, item) ? { parts: ['routes'], underlay: false } : NOTHING;
        }
        case 'RULE': {
          const ours = / lookup (77|kube-router)\b/.test(rest);
          const from = /\bfrom (\S+)/.exec(rest)?.[1] ?? '';
          const lost = ours && gone && known.has(`rule/${from}/${OVERLAY_TABLE}`);
          return lost ? { parts: ['rules'], underlay: false } : NOTHING;
        }
        case 'LINK': {
          const link = /^\d+: ([^:@\s]+)[^<]*<([^>]*)>/.exec(rest);
          const name = link?.[1] ?? '';
          if (name === '' || POD_DEVICE.test(name) || / master kube-bridge/.test(rest)) return NOTHING;
          const ours = known.has(`link/${name}`);
          if (gone) {
            up.delete(name);
            return ours ? DEVICE : { parts: [], underlay: true };
          }
          const flags = (link?.[2] ?? '').split(',');
          const now = flags.includes('UP') && flags.includes('LOWER_UP');
          const before = up.get(name);
          up.set(name, now);
          if (before === now) return NOTHING;
          if (ours) return DEVICE;
          // The kernel drops the IPv4 routes of a device that goes down without telling, and does not put them back when it
          // comes up; until then nothing can be done for them.
          return now ? { parts: ['routes'], underlay: true } : NOTHING;
        }
        default: {
          const name = /^\d+: ([^:@\s]+)/.exec(rest)?.[1] ?? '';
          return POD_DEVICE.test(name) || name === 'lo' || name === 'kube-dummy-if' ? NOTHING : DEVICE;
        }
      }
    },
  };
}

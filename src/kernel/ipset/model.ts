/**
 * ipset's sets as values: what `ipset save` prints and `ipset restore` takes.
 * Elements are text in the spelling that the kernel prints back, so that desired and observed compare as they are.
 * Pure.
 */
import { formatAddress, tryParseAddress } from '../../net/address.ts';
import { formatPrefix, isHostPrefix, tryParsePrefix } from '../../net/prefix.ts';

/** Set types with a spelling of their own here; any other type passes through as it is. */
export type IpsetType = 'hash:ip' | 'hash:net' | 'hash:ip,port' | 'hash:net,port' | 'hash:ip,port,ip' | 'list:set';

/** How a set was or is to be created. */
export interface IpsetHeader {
  readonly type: IpsetType | (string & {});
  /** @defaultValue 4 for hash types */
  readonly family?: 4 | 6;
  /** Most elements. @defaultValue 65536 */
  readonly maxelem?: number;
  /** Initial size of the hash; the kernel grows it, so it is no difference between two sets. @defaultValue 1024 */
  readonly hashsize?: number;
  /** Default seconds until an element goes, 0 for never; its presence gives elements timeouts. */
  readonly timeout?: number;
  readonly comment?: boolean;
  readonly counters?: boolean;
  readonly skbinfo?: boolean;
  readonly forceadd?: boolean;
  /** Places in a list:set. @defaultValue 8 */
  readonly size?: number;
}

/** One element and what it carries. */
export interface IpsetEntry {
  readonly element: string;
  /** Seconds left; 0: never. */
  readonly timeout?: number;
  /** An exception: matches as if it were not in the set (hash:net types). */
  readonly nomatch?: boolean;
  readonly comment?: string;
  /** Packets that matched, where the set counts. */
  readonly packets?: number;
  /** Bytes that matched, where the set counts. */
  readonly bytes?: number;
}

/** One set. */
export interface Ipset {
  readonly name: string;
  readonly header: IpsetHeader;
  readonly entries: ReadonlyMap<string, IpsetEntry>;
}

/** Longest name of a set (IPSET_MAXNAMELEN without its closing zero). */
export const IPSET_NAME_MAX = 31;

/** The part before the first comma as the kernel prints it: no length on a single address. */
function canonicalNet(text: string): string {
  const prefix = tryParsePrefix(text, { hostBits: 'mask' });
  if (prefix !== undefined) return isHostPrefix(prefix) ? formatAddress(prefix) : formatPrefix(prefix);
  const address = tryParseAddress(text);
  return address === undefined ? text : formatAddress(address);
}

/** The spelling in which the kernel prints an element: canonical addresses, no /32 or /128, `tcp:` before a bare port. */
export function canonicalElement(element: string): string {
  return element
    .split(',')
    .map((part, index) => {
      if (index === 1 && /^\d+$/.test(part)) return `tcp:${part}`;
      if (index === 1) return part.toLowerCase();
      return canonicalNet(part);
    })
    .join(',');
}

/**
 * The elements that stand for an element: a hash:net set refuses a prefix of length 0, so `0.0.0.0/0` and `::/0`
 * become their two halves; everything else is itself.
 */
export function splitElement(element: string): readonly string[] {
  const [net = '', ...rest] = canonicalElement(element).split(',');
  const halves = net === '0.0.0.0/0' ? ['0.0.0.0/1', '128.0.0.0/1'] : net === '::/0' ? ['::/1', '8000::/1'] : [net];
  return halves.map((half) => [half, ...rest].join(','));
}

/** Whether two headers make the same set; sizes that the kernel changes by itself do not count. */
export function sameHeader(a: IpsetHeader, b: IpsetHeader): boolean {
  const key = (header: IpsetHeader): string =>
    JSON.stringify([
      header.type,
      header.type.startsWith('hash:') ? (header.family ?? 4) : 0,
      header.type.startsWith('hash:') ? (header.maxelem ?? 65_536) : 0,
      header.timeout ?? -1,
      header.comment === true,
      header.counters === true,
      header.skbinfo === true,
      header.forceadd === true,
    ]);
  return key(a) === key(b);
}

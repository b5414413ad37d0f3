/**
 * Address families: names to AFI and SAFI numbers and back.
 * A name is what options, tables and people use; a family without name is `AFI/SAFI`, so none is ever lost.
 * Stands on constants.ts and types.ts.
 */
import { Afi, Safi } from './constants.ts';
import type { Family, KnownFamily } from './types.ts';

/** An AFI and SAFI pair. */
export interface FamilyCodes {
  readonly afi: number;
  readonly safi: number;
}

const KNOWN: Readonly<Record<KnownFamily, FamilyCodes>> = {
  'ipv4-unicast': { afi: Afi.ipv4, safi: Safi.unicast },
  'ipv6-unicast': { afi: Afi.ipv6, safi: Safi.unicast },
  'ipv4-multicast': { afi: Afi.ipv4, safi: Safi.multicast },
  'ipv6-multicast': { afi: Afi.ipv6, safi: Safi.multicast },
  'ipv4-labelled': { afi: Afi.ipv4, safi: Safi.labelled },
  'ipv6-labelled': { afi: Afi.ipv6, safi: Safi.labelled },
  'ipv4-vpn': { afi: Afi.ipv4, safi: Safi.vpn },
  'ipv6-vpn': { afi: Afi.ipv6, safi: Safi.vpn },
  'ipv4-flowspec': { afi: Afi.ipv4, safi: Safi.flowspec },
  'ipv6-flowspec': { afi: Afi.ipv6, safi: Safi.flowspec },
  'ipv4-flowspec-vpn': { afi: Afi.ipv4, safi: Safi.flowspecVpn },
  'ipv6-flowspec-vpn': { afi: Afi.ipv6, safi: Safi.flowspecVpn },
  'l2vpn-evpn': { afi: Afi.l2vpn, safi: Safi.evpn },
};

const NAMES = new Map(Object.entries(KNOWN).map(([name, { afi, safi }]) => [afi * 256 + safi, name as KnownFamily]));

/** The name of an AFI and SAFI; `AFI/SAFI` when there is none. */
export function familyName(afi: number, safi: number): Family {
  return NAMES.get(afi * 256 + safi) ?? `${afi}/${safi}`;
}

/** The AFI and SAFI of a family. */
export function familyCodes(family: Family): FamilyCodes {
  const known = KNOWN[family as KnownFamily] as FamilyCodes | undefined;
  if (known !== undefined) return known;
  const [afi = '', safi = ''] = family.split('/');
  return { afi: Number(afi), safi: Number(safi) };
}

/**
 * Vectors that our codec answers otherwise than their provenance, each with the reason.
 * An entry that no longer differs makes the suite fail, as does a difference without an entry.
 */

interface Difference {
  readonly because: string;
  readonly ids: readonly string[];
}

function run(file: string, numbers: readonly (number | readonly [number, number])[], width = 4): string[] {
  return numbers.flatMap((entry) => {
    const [from, to] = typeof entry === 'number' ? [entry, entry] : entry;
    return Array.from({ length: to - from + 1 }, (_, index) => `${file}-${String(from + index).padStart(width, '0')}`);
  });
}

const differences: readonly Difference[] = [
  {
    because:
      'its attributes have no valid flags; the test looks at values only, RFC 7606 section 3 c asks to treat them as withdrawn',
    ids: run('biord-packet', [0, 28, [31, 35], 102, 104]),
  },
  {
    because: 'a type-5 message of nine octets is a ROUTE-REFRESH with filters behind it, which bio-rd does not know',
    ids: run('biord-packet', [7]),
  },
  {
    because:
      'bio-rd refuses NOTIFICATIONs with codes or subcodes that it does not know; one is never answered with another (RFC 4271 section 6.4), so ours are read, named and logged',
    ids: run('biord-packet', [[9, 18], 22, 24, 26]),
  },
  {
    because: 'an unknown attribute without the Optional bit is an unknown well-known one: reset (RFC 4271 section 6.3)',
    ids: [...run('biord-packet', [41]), ...run('exabgp-encoding', [53, 54])],
  },
  {
    because:
      'the capability length is wrong (8 octets claimed, or missing): bio-rd leaves what it does not need unread',
    ids: run('biord-packet', [52, 56]),
  },
  {
    because:
      'an ADD-PATH capability of odd length is kept as unknown, so that the feature is off and the session lives',
    ids: run('biord-packet', [61]),
  },
  {
    because: 'the octets go on behind the one route that the test reads; as a whole field they are malformed',
    ids: run('biord-packet', [84, 85]),
  },
  {
    because: 'as a field it is three default routes, or empty, which both are well-formed; the test reads one route',
    ids: run('biord-packet', [92, 95]),
  },
  { because: 'an empty AS_PATH is well-formed (RFC 4271 section 5.1.2)', ids: run('biord-packet', [121]) },
  {
    because: 'an empty list attribute is malformed (RFC 7606 sections 7.8 and 7.10, RFC 8092 section 6)',
    ids: run('biord-packet', [135, 137, 138]),
  },
  {
    because: 'routes without attributes: mandatory ones are missing (RFC 7606 section 3 d); the test serialises only',
    ids: run('biord-packet', [179, 183]),
  },
  {
    because: '255.255.255.255 or 0.0.0.0 is no host address (RFC 4271 section 6.3, RFC 7606 section 3 e)',
    ids: [...run('exabgp-encoding', [5]), ...run('scapy', [74, 76])],
  },
  {
    because: 'a next hop of 4 octets for IPv6 hides where the routes begin (RFC 7606 section 7.11)',
    ids: run('exabgp-encoding', [160]),
  },
  { because: 'AS 0 in AS_PATH is malformed (RFC 7607 section 2)', ids: run('frr-aspath', [28, 32]) },
  {
    because:
      'FRR says that the route survives, and it does: ours names the attribute that was left out, which is `discard`',
    ids: run('frr-attr-parse', [5, 6, 9, 14]),
  },
  {
    because:
      'the session is of one administrative domain (OAD), which this codec does not have: LOCAL_PREF from eBGP is left out',
    ids: run('frr-attr-parse', [15, 16]),
  },
  {
    because: 'outbound route filters are not read: the capability is kept as unknown, whatever it holds',
    ids: run('frr-capability', [3, 29]),
  },
  {
    because: 'the next hop fffe:… is a multicast address (ff00::/8), which no host has',
    ids: run('frr-mp-attr', [[0, 3]]),
  },
  {
    because:
      'the octets are well-formed: two next hops, the reserved octet and a default route; FRR refuses them for a reason of its own',
    ids: run('frr-mp-attr', [20]),
  },
  { because: 'NEXT_HOP has 4 octets (RFC 7606 section 7.3); GoBGP takes 16 too', ids: run('gobgp-bgp', [33]) },
  {
    because:
      'the record is of an ADD-PATH session (MRT subtype 8), which the vector does not say; with path identifiers it decodes',
    ids: run('mrt', [717, 718, 720, 727, 728, 730, 734, 735, 737, 744, 745, 747], 5),
  },
  {
    because: 'octets behind a ROUTE-REFRESH of subtype 0 are outbound route filters (RFC 5291), kept unread',
    ids: run('rustybgp-packet', [24]),
  },
  {
    because: 'a header alone, shorter than any message of its type (RFC 4271 section 6.1); scapy builds it as a stub',
    ids: [...run('scapy', [6, 7, 8, 9, 11, 13]), ...run('tcpdump', [[857, 860]])],
  },
  {
    because: 'optional parameter 1 (authentication) is deprecated and refused (RFC 4271 section 6.2)',
    ids: run('scapy', [52, 53]),
  },
  { because: 'an OPEN of zeros: AS 0 (RFC 7607 section 2)', ids: run('scapy', [60]) },
  { because: 'an AGGREGATOR of zeros: AS 0 (RFC 7607 section 2)', ids: run('scapy', [84, 105]) },
  { because: 'AFI and SAFI 0 or junk: no family that could be negotiated', ids: run('scapy', [95, 99, 100]) },
  { because: 'AS_PATH flagged optional non-transitive (RFC 7606 section 3 c)', ids: run('scapy', [111]) },
  {
    because:
      'BGPsec: BGPSEC_PATH stands for AS_PATH (RFC 8205 section 4), which must not be sent to us: we do not offer it',
    ids: run('tcpdump', [
      [822, 831],
      [838, 847],
    ]),
  },
  {
    because:
      'built to crash a decoder: lengths, flags and attributes contradict each other; tcpdump prints what it can',
    ids: run('tcpdump', [
      35,
      36,
      [887, 894],
      896,
      897,
      [899, 901],
      903,
      904,
      [906, 908],
      [910, 912],
      914,
      915,
      918,
      932,
      933,
    ]),
  },
];

/** Reason by vector id. */
export const explained: ReadonlyMap<string, string> = new Map(
  differences.flatMap(({ because, ids }) => ids.map((id) => [id, because])),
);

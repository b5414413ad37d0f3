/**
 * Malformed and odd UPDATEs, each with the one answer that the RFCs ask for, or the few that they allow.
 * One table for the codec's own test and for a run against whole daemons: a good route, then the odd UPDATE for the same
 * prefix, then a sentinel; what a third peer sees decides. Octets are built here by hand, never by the codec under test.
 */
import { hex } from '../support/hex.ts';

/** What RFC 7606 section 2 calls the approaches, weakest first. */
export type Expected = 'accept' | 'discard' | 'withdraw' | 'reset';

/** What a third peer sees of the good route's prefix afterwards. */
export type Seen = 'replaced' | 'unchanged' | 'withdrawn' | 'reset';

/** The session that an odd UPDATE arrives on; the good route is there already. */
export interface MalformedSession {
  /** IPv4 prefix of the good route, of length 24: `10.9.8.0/24`. */
  readonly prefix: string;
  /** AS of the sender; in `ibgp` cases equal to `localAs`. At most 65535. */
  readonly peerAs: number;
  readonly localAs: number;
  /** Address of the sender, a valid next hop. */
  readonly peerAddress: string;
  /** Address of the speaker under test on the link. */
  readonly localAddress: string;
}

/** One odd UPDATE. */
export interface MalformedCase {
  readonly name: string;
  readonly group: string;
  readonly session: 'ebgp' | 'ibgp';
  /** The sender did not offer four-octet AS numbers. */
  readonly twoOctetAs: boolean;
  /** The whole message. */
  readonly build: (session: MalformedSession) => Uint8Array;
  readonly expected: Expected;
  /** Other answers that the RFCs leave open; a daemon giving one is not wrong. */
  readonly alsoAllowed: readonly Expected[];
  readonly seen: Seen;
  /** `speaker`: the octets are fine for any codec, only the speaker knows better (own AS, own address). */
  readonly judge: 'codec' | 'speaker';
  /** Attributes that must not reach the third peer. */
  readonly absent: readonly number[];
  /** Attribute that must reach the third peer as these octets, header included. */
  readonly forwarded?: string;
  /** Section that asks for the answer. */
  readonly rfc: string;
}

interface Options {
  readonly session?: 'ebgp' | 'ibgp';
  readonly twoOctetAs?: boolean;
  readonly also?: readonly Expected[];
  readonly seen?: Seen;
  readonly judge?: 'speaker';
  readonly absent?: readonly number[];
  readonly forwarded?: string;
}

const byte = (value: number) => (value & 255).toString(16).padStart(2, '0');
const word = (value: number) => byte(value >> 8) + byte(value);
const long = (value: number) => word(value >>> 16) + word(value & 0xffff);
const quad = (address: string) =>
  address
    .split('.')
    .map((part) => byte(Number(part)))
    .join('');
const size = (text: string) => text.replace(/\s/g, '').length / 2;

/** One attribute: flags, code, length of one octet, value. */
function attr(flags: number, code: number, value = '', length = size(value)): string {
  return byte(flags) + byte(code) + byte(length) + value;
}

/** One attribute with a length of two octets. */
function wide(flags: number, code: number, value = '', length = size(value)): string {
  return byte(flags | 0x10) + byte(code) + word(length) + value;
}

/** A whole UPDATE; lengths are those of the parts unless given. */
function update(parts: {
  readonly withdrawn?: string;
  readonly attributes?: string;
  readonly nlri?: string;
  readonly withdrawnLength?: number;
  readonly attributesLength?: number;
}): Uint8Array {
  const { withdrawn = '', attributes = '', nlri = '' } = parts;
  const body =
    word(parts.withdrawnLength ?? size(withdrawn)) +
    withdrawn +
    word(parts.attributesLength ?? size(attributes)) +
    attributes +
    nlri;
  return hex('ff'.repeat(16) + word(19 + size(body)) + '02' + body);
}

const nlriOf = (prefix: string) => '18' + quad(prefix.replace(/\/.*/, '')).slice(0, 6);

interface Good {
  readonly origin: string;
  readonly asPath: string;
  readonly nextHop: string;
  readonly localPref: string;
  readonly nlri: string;
}

function good(session: MalformedSession, of: 'ebgp' | 'ibgp', twoOctetAs: boolean): Good {
  const asn = twoOctetAs ? word(session.peerAs) : long(session.peerAs);
  const first = of === 'ebgp' ? asn : twoOctetAs ? word(64999) : long(64999);
  const path = '0202' + first + (twoOctetAs ? word(64998) : long(64998));
  return {
    origin: attr(0x40, 1, '00'),
    asPath: attr(0x40, 2, path),
    nextHop: attr(0x40, 3, quad(session.peerAddress)),
    localPref: of === 'ibgp' ? attr(0x40, 5, long(100)) : '',
    nlri: nlriOf(session.prefix),
  };
}

const SEEN: Readonly<Record<Expected, Seen>> = {
  accept: 'replaced',
  discard: 'replaced',
  withdraw: 'withdrawn',
  reset: 'reset',
};

const cases: MalformedCase[] = [];
let group = '';

function add(
  name: string,
  expected: Expected,
  rfc: string,
  build: (good: Good, session: MalformedSession) => Uint8Array,
  options: Options = {},
): void {
  const { session = 'ebgp', twoOctetAs = false, also = [], seen = SEEN[expected], absent = [], forwarded } = options;
  cases.push({
    name,
    group,
    session,
    twoOctetAs,
    build: (facts) => build(good(facts, session, twoOctetAs), facts),
    expected,
    alsoAllowed: also,
    seen,
    judge: options.judge ?? 'codec',
    absent,
    ...(forwarded === undefined ? {} : { forwarded }),
    rfc,
  });
}

/** The good attributes, with `extra` behind them. */
function extra(name: string, expected: Expected, rfc: string, attributes: string, options: Options = {}): void {
  add(
    name,
    expected,
    rfc,
    ({ origin, asPath, nextHop, localPref, nlri }) =>
      update({ attributes: origin + asPath + nextHop + localPref + attributes, nlri }),
    options,
  );
}

/** The good attributes, with one of them replaced. */
function instead(
  field: 'origin' | 'asPath' | 'nextHop' | 'localPref' | 'nlri',
  name: string,
  expected: Expected,
  rfc: string,
  replacement: string | ((session: MalformedSession) => string),
  options: Options = {},
): void {
  add(
    name,
    expected,
    rfc,
    (normal, session) => {
      const text = typeof replacement === 'string' ? replacement : replacement(session);
      const replaced: Good = { ...normal, [field]: text };
      const { origin, asPath, nextHop, localPref, nlri } = replaced;
      return update({ attributes: origin + asPath + nextHop + localPref, nlri });
    },
    options,
  );
}

const IBGP: Options = { session: 'ibgp' };
const OLD: Options = { twoOctetAs: true };

group = 'lengths';
for (const length of [0, 2, 4]) {
  instead('origin', `ORIGIN of ${length} octets`, 'withdraw', '7606 7.1', attr(0x40, 1, '00'.repeat(length)));
}
for (const length of [0, 3, 5, 16]) {
  const value = '0a000001'.repeat(4).slice(0, length * 2);
  instead('nextHop', `NEXT_HOP of ${length} octets`, 'withdraw', '7606 7.3', attr(0x40, 3, value));
}
for (const length of [0, 3, 5]) {
  const value = '0000006400'.slice(0, length * 2);
  extra(`MULTI_EXIT_DISC of ${length} octets`, 'withdraw', '7606 7.4', attr(0x80, 4, value));
  extra(`LOCAL_PREF of ${length} octets from eBGP`, 'discard', '7606 7.5', attr(0x40, 5, value));
  instead('localPref', `LOCAL_PREF of ${length} octets`, 'withdraw', '7606 7.5', attr(0x40, 5, value), IBGP);
  extra(`ORIGINATOR_ID of ${length} octets from eBGP`, 'discard', '7606 7.9', attr(0x80, 9, value), { absent: [9] });
  extra(`ORIGINATOR_ID of ${length} octets`, 'withdraw', '7606 7.9', attr(0x80, 9, value), IBGP);
  extra(`CLUSTER_LIST of ${length} octets from eBGP`, 'discard', '7606 7.10', attr(0x80, 10, value), { absent: [10] });
  extra(`CLUSTER_LIST of ${length} octets`, 'withdraw', '7606 7.10', attr(0x80, 10, value), IBGP);
  extra(`OTC of ${length} octets`, 'withdraw', '9234 5', attr(0xc0, 35, value));
}
for (const length of [1, 4]) {
  extra(`ATOMIC_AGGREGATE of ${length} octets`, 'discard', '7606 7.6', attr(0x40, 6, '00'.repeat(length)));
}
for (const length of [0, 6, 7, 9]) {
  const value = '0000fde80a0000010000'.slice(0, length * 2);
  extra(`AGGREGATOR of ${length} octets`, 'discard', '7606 7.7', attr(0xc0, 7, value), { absent: [7] });
}
for (const length of [0, 3, 5, 6]) {
  const value = 'fde80001fde8'.slice(0, length * 2);
  extra(`COMMUNITIES of ${length} octets`, 'withdraw', '7606 7.8', attr(0xc0, 8, value));
}
for (const length of [0, 7, 9]) {
  const value = '0002fde80000000100'.slice(0, length * 2);
  extra(`EXTENDED COMMUNITIES of ${length} octets`, 'withdraw', '7606 7.14', attr(0xc0, 16, value));
}
for (const length of [0, 11, 13]) {
  const value = '0000fde8000000010000000200'.slice(0, length * 2);
  extra(`LARGE_COMMUNITY of ${length} octets`, 'withdraw', '8092 6', attr(0xc0, 32, value));
}
for (const length of [0, 19, 21]) {
  const value = ('0002' + '20010db8'.repeat(5)).slice(0, length * 2);
  extra(`IPv6 EXTENDED COMMUNITIES of ${length} octets`, 'withdraw', '7606 7.15', attr(0xc0, 25, value), {
    // A speaker to which attribute 25 is unknown passes it on unseen.
    also: ['accept'],
  });
}

group = 'flags';
const flagged: readonly (readonly [string, number, number, string])[] = [
  ['ORIGIN', 1, 0x40, '00'],
  ['NEXT_HOP', 3, 0x40, ''],
  ['MULTI_EXIT_DISC', 4, 0x80, '00000064'],
  ['ATOMIC_AGGREGATE', 6, 0x40, ''],
  ['AGGREGATOR', 7, 0xc0, '0000fde80a000001'],
  ['COMMUNITIES', 8, 0xc0, 'fde80001'],
  ['EXTENDED COMMUNITIES', 16, 0xc0, '0002fde800000001'],
  ['LARGE_COMMUNITY', 32, 0xc0, '0000fde80000000100000002'],
  ['OTC', 35, 0xc0, '0000fde8'],
];
for (const [name, code, flags, value] of flagged) {
  for (const [what, flip] of [
    ['Optional', 0x80],
    ['Transitive', 0x40],
    ['Optional and Transitive', 0xc0],
  ] as const) {
    const text = `${name} with ${what} flipped`;
    if (code === 1) instead('origin', text, 'withdraw', '7606 3 c', attr(flags ^ flip, code, value));
    else if (code === 3) {
      instead('nextHop', text, 'withdraw', '7606 3 c', ({ peerAddress }) =>
        attr(flags ^ flip, code, quad(peerAddress)),
      );
    } else extra(text, 'withdraw', '7606 3 c', attr(flags ^ flip, code, value));
  }
}
instead('asPath', 'AS_PATH with Optional flipped', 'withdraw', '7606 3 c', ({ peerAs }) =>
  attr(0xc0, 2, '0201' + long(peerAs)),
);
instead('localPref', 'LOCAL_PREF with Optional flipped', 'withdraw', '7606 3 c', attr(0xc0, 5, long(100)), IBGP);
extra('ORIGINATOR_ID with Transitive flipped', 'withdraw', '7606 3 c', attr(0xc0, 9, '0a000001'), IBGP);
extra('CLUSTER_LIST with Transitive flipped', 'withdraw', '7606 3 c', attr(0xc0, 10, '0a000001'), IBGP);
extra('AIGP with Transitive flipped', 'discard', '7311 3.2', attr(0xc0, 26, '01000b0000000000000064'), {
  session: 'ibgp',
  also: ['withdraw'],
});
instead('origin', 'ORIGIN with Partial', 'accept', '7606 3 c', attr(0x60, 1, '00'));
instead('origin', 'ORIGIN with the low three bits', 'accept', '4271 4.3', attr(0x47, 1, '00'));
extra('MULTI_EXIT_DISC with the low four bits', 'accept', '4271 4.3', wide(0x8f, 4, '00000064'));
extra('COMMUNITIES with Partial', 'accept', '4271 5', attr(0xe0, 8, 'fde80001'), { forwarded: 'e00804fde80001' });
extra('COMMUNITIES with an extended length of 4', 'accept', '4271 4.3', wide(0xc0, 8, 'fde80001'));

group = 'duplicates';
extra('ORIGIN twice', 'discard', '7606 3 g', attr(0x40, 1, '02'));
extra('AS_PATH twice', 'discard', '7606 3 g', attr(0x40, 2, '02010000fde7'));
extra('NEXT_HOP twice', 'discard', '7606 3 g', attr(0x40, 3, '00000000'));
extra('MULTI_EXIT_DISC twice', 'discard', '7606 3 g', attr(0x80, 4, long(1)) + attr(0x80, 4, long(2)));
extra('COMMUNITIES twice', 'discard', '7606 3 g', attr(0xc0, 8, 'fde80001') + attr(0xc0, 8, 'fde80002'), {
  forwarded: 'c00804fde80001',
});
extra(
  'COMMUNITIES twice, the second malformed',
  'discard',
  '7606 3 g',
  attr(0xc0, 8, 'fde80001') + attr(0xc0, 8, 'ff'),
);
extra('an unknown attribute twice', 'discard', '7606 3 g', attr(0xc0, 200, '01') + attr(0xc0, 200, '02'), {
  forwarded: 'e0c80101',
});

group = 'missing';
instead('origin', 'no ORIGIN', 'withdraw', '7606 3 d', '');
instead('asPath', 'no AS_PATH', 'withdraw', '7606 3 d', '');
instead('nextHop', 'no NEXT_HOP', 'withdraw', '7606 3 d', '');
instead('localPref', 'no LOCAL_PREF from iBGP', 'withdraw', '4271 5.1.5, 7606 3 d', '', { ...IBGP, also: ['accept'] });
add('no attributes at all', 'withdraw', '7606 3 d', ({ nlri }) => update({ nlri }));
add('an unknown transitive attribute alone', 'withdraw', '7606 3 d', ({ nlri }) =>
  update({ attributes: attr(0xc0, 200, '01'), nlri }),
);
add('MULTI_EXIT_DISC alone', 'withdraw', '7606 3 d', ({ nlri }) =>
  update({ attributes: attr(0x80, 4, long(1)), nlri }),
);

group = 'block';
for (const over of [1, 200]) {
  extra(`MULTI_EXIT_DISC ${over} octets over the block`, 'withdraw', '7606 4', attr(0x80, 4, long(1), 4 + over));
  extra(`unknown attribute ${over} octets over the block`, 'withdraw', '7606 4', attr(0xc0, 200, '00', 1 + over));
}
extra('extended length 65535 over the block', 'withdraw', '7606 4', wide(0xc0, 200, '00', 65535));
extra('header cut after 1 octet', 'withdraw', '7606 4', '80');
extra('header cut after 2 octets', 'withdraw', '7606 4', '8004');
extra('extended header cut after 2 octets', 'withdraw', '7606 4', '9004');
extra('extended header cut after 3 octets', 'withdraw', '7606 4', '900400');
extra('zeros behind the attributes', 'reset', '4271 6.3', '000000', { also: ['withdraw'] });
add('attributes longer than the message', 'reset', '7606 3 b', ({ origin, asPath, nextHop }) => {
  const attributes = origin + asPath + nextHop;
  return update({ attributes, attributesLength: size(attributes) + 1 });
});
add('attributes length 65535', 'reset', '7606 3 b', ({ origin, nlri }) =>
  update({ attributes: origin, attributesLength: 65535, nlri }),
);
add('withdrawn length over the message', 'reset', '7606 3 b', ({ nlri }) =>
  update({ withdrawn: nlri, withdrawnLength: 65535 }),
);
add('withdrawn length over the attributes length', 'reset', '7606 3 b', ({ nlri }) =>
  update({ withdrawn: nlri, withdrawnLength: size(nlri) + 1 }),
);

group = 'AS_PATH';
const path = (name: string, expected: Expected, value: string | ((asn: string) => string), options: Options = {}) =>
  instead(
    'asPath',
    name,
    expected,
    '7606 7.2',
    ({ peerAs }) => attr(0x40, 2, typeof value === 'string' ? value : value(long(peerAs))),
    options,
  );
path('segment type 0', 'withdraw', (asn) => `0001${asn}`);
path('segment type 5', 'withdraw', (asn) => `0501${asn}`);
path('segment type 255', 'withdraw', (asn) => `ff01${asn}`);
path('segment type 5 behind a good one', 'withdraw', (asn) => `0201${asn}0501${asn}`);
path('empty segment', 'withdraw', '0200');
path('empty segment behind a good one', 'withdraw', (asn) => `0201${asn}0200`);
path('segment over the attribute', 'withdraw', (asn) => `0202${asn}`);
path('segment of 255 over the attribute', 'withdraw', (asn) => `02ff${asn}`);
path('one octet behind the last segment', 'withdraw', (asn) => `0201${asn}02`);
path('half an AS number', 'withdraw', (asn) => `0202${asn}0000`);
path('two-octet numbers', 'withdraw', (asn) => `0202${asn.slice(4)}fdea`);
path('confederation sequence from eBGP', 'withdraw', (asn) => `0201${asn}0301${long(65100)}`);
path('confederation sequence first, from eBGP', 'withdraw', (asn) => `0301${long(65100)}0201${asn}`);
path('confederation set from eBGP', 'withdraw', (asn) => `0201${asn}0401${long(65100)}`);
path('AS 0', 'withdraw', (asn) => `0202${asn}00000000`);
path('AS 0 in a set', 'withdraw', (asn) => `0201${asn}0101${'00000000'}`);
path('AS_SET', 'accept', (asn) => `0201${asn}0102${long(64997)}${long(64996)}`, { also: ['withdraw'] });
path('AS_TRANS between four-octet speakers', 'accept', (asn) => `0202${asn}${long(23456)}`);
path('two sequences', 'accept', (asn) => `0201${asn}0201${long(64997)}`);
path('no segment, from eBGP', 'accept', '', { also: ['withdraw'], seen: 'replaced' });
instead('asPath', '255 hops', 'accept', '4271 4.3', ({ peerAs }) =>
  wide(0x40, 2, '02ff' + long(peerAs) + long(64997).repeat(254)),
);
instead('asPath', '900 hops', 'accept', '4271 4.3', ({ peerAs }) =>
  wide(0x40, 2, '02ff' + long(peerAs) + long(64997).repeat(254) + ('02d7' + long(64997).repeat(215)).repeat(3)),
);
instead(
  'asPath',
  'own AS in the path',
  'accept',
  '4271 9.1.2',
  ({ peerAs, localAs }) => attr(0x40, 2, '0202' + long(peerAs) + long(localAs)),
  { judge: 'speaker', seen: 'withdrawn' },
);

group = 'ORIGIN';
for (const value of [3, 255]) {
  instead('origin', `ORIGIN ${value}`, 'withdraw', '7606 7.1', attr(0x40, 1, byte(value)));
}

group = 'next hop';
const hop = (name: string, address: string, expected: Expected, options: Options = {}) =>
  instead('nextHop', name, expected, '4271 6.3, 7606 3 e', attr(0x40, 3, quad(address)), options);
hop('next hop 0.0.0.0', '0.0.0.0', 'withdraw');
hop('next hop broadcast', '255.255.255.255', 'withdraw');
hop('next hop multicast', '224.0.0.1', 'withdraw');
hop('next hop class E', '240.0.0.1', 'withdraw');
hop('next hop in 0.0.0.0/8', '0.1.2.3', 'withdraw');
instead(
  'nextHop',
  'next hop our own',
  'accept',
  '4271 5.1.3',
  ({ localAddress }) => attr(0x40, 3, quad(localAddress)),
  {
    judge: 'speaker',
    seen: 'withdrawn',
  },
);

group = 'aggregation';
extra('AGGREGATOR with AS 0', 'discard', '7607 2', attr(0xc0, 7, '000000000a000001'), { absent: [7] });
extra(
  'AGGREGATOR of two-octet form from a two-octet speaker',
  'accept',
  '6793 4.1',
  attr(0xc0, 7, 'fde80a000001'),
  OLD,
);
extra(
  'AGGREGATOR of four-octet form from a two-octet speaker',
  'discard',
  '7606 7.7',
  attr(0xc0, 7, '0000fde80a000001'),
  {
    ...OLD,
    absent: [7],
  },
);
extra('AS4_PATH between four-octet speakers', 'discard', '6793 4.1', attr(0xc0, 17, '02010000fde7'), { absent: [17] });
extra('AS4_AGGREGATOR between four-octet speakers', 'discard', '6793 4.1', attr(0xc0, 18, '0000fde70a000001'), {
  absent: [18],
});
for (const [name, value] of [
  ['empty', ''],
  ['of segment type 9', '09010000fde7'],
  ['with a segment over it', '02020000fde7'],
  ['with an empty segment', '0200'],
  ['with half a number', '02010000'],
  ['with AS 0', '020100000000'],
] as const) {
  extra(`AS4_PATH ${name}`, 'discard', '6793 6', attr(0xc0, 17, value), { ...OLD, absent: [17] });
}
extra('AS4_AGGREGATOR of 6 octets', 'discard', '6793 6', attr(0xc0, 18, 'fde70a000001'), { ...OLD, absent: [18] });
extra('AS4_PATH longer than AS_PATH', 'accept', '6793 4.2.3', attr(0xc0, 17, '0204' + long(70000).repeat(4)), {
  ...OLD,
  absent: [17],
});

group = 'reflection from outside';
extra('LOCAL_PREF from eBGP', 'discard', '4271 5.1.5, 7606 7.5', attr(0x40, 5, long(4000)));
extra('ORIGINATOR_ID from eBGP', 'discard', '7606 7.9', attr(0x80, 9, '0a000001'), { absent: [9] });
extra('CLUSTER_LIST from eBGP', 'discard', '7606 7.10', attr(0x80, 10, '0a000001'), { absent: [10] });

group = 'AIGP';
const aigp = (name: string, value: string) =>
  extra(name, 'discard', '7311 3.2', attr(0x80, 26, value), { session: 'ibgp', absent: [26] });
aigp('AIGP empty', '');
aigp('AIGP TLV cut', '0100');
aigp('AIGP TLV of length 2', '010002');
aigp('AIGP TLV over the attribute', '01000c0000000000000064');
aigp('AIGP metric of 7 octets', '01000a00000000000064');
extra('AIGP from eBGP', 'discard', '7311 3.3', attr(0x80, 26, '01000b0000000000000064'), { absent: [26] });

group = 'unknown attributes';
extra('unknown optional transitive', 'accept', '4271 5', attr(0xc0, 200, 'cafe'), { forwarded: 'e0c802cafe' });
extra('unknown optional transitive with Partial', 'accept', '4271 5', attr(0xe0, 200, 'cafe'), {
  forwarded: 'e0c802cafe',
});
extra('unknown optional transitive without value', 'accept', '4271 5', attr(0xc0, 200), { forwarded: 'e0c800' });
extra('unknown optional transitive of 300 octets', 'accept', '4271 5', wide(0xc0, 200, 'ab'.repeat(300)), {
  forwarded: 'f0c8012c' + 'ab'.repeat(300),
});
extra('unknown optional transitive, code 255', 'accept', '4271 5', attr(0xc0, 255, 'cafe'), {
  forwarded: 'e0ff02cafe',
});
extra('unknown optional non-transitive', 'accept', '4271 5', attr(0x80, 200, 'cafe'), { absent: [200] });
extra('unknown optional non-transitive with Partial', 'accept', '4271 5', attr(0xa0, 200, 'cafe'), { absent: [200] });
extra('unknown well-known', 'reset', '4271 6.3', attr(0x40, 200, 'cafe'), { also: ['withdraw'] });
extra('unknown attribute with no flags', 'reset', '4271 6.3', attr(0x00, 200, 'cafe'), { also: ['withdraw'] });
extra('attribute code 0, optional transitive', 'accept', '4271 5', attr(0xc0, 0, 'cafe'), {
  also: ['withdraw', 'discard'],
});
extra('junk in TUNNEL_ENCAPSULATION', 'accept', '4271 5', attr(0xc0, 23, 'ffffffffff'), {
  also: ['withdraw', 'discard'],
});
extra('junk in PREFIX_SID', 'accept', '4271 5', attr(0xc0, 40, '010000'), { also: ['withdraw', 'discard'] });

group = 'NLRI';
const announce = (name: string, expected: Expected, rfc: string, nlri: string, options: Options = {}) =>
  instead('nlri', name, expected, rfc, ({ prefix }) => nlriOf(prefix) + nlri, options);
announce('prefix length 33', 'reset', '7606 5.3', '210a09080000');
announce('prefix length 255', 'reset', '7606 5.3', 'ff0a090800');
announce('prefix cut short', 'reset', '7606 5.3', '180a09');
announce('prefix length alone', 'reset', '7606 5.3', '18');
announce('a multicast prefix beside it', 'accept', '4271 6.3', '18e00001');
instead('nlri', 'a multicast prefix alone', 'accept', '4271 6.3', '18e00001', { seen: 'unchanged' });
announce('the default route beside it', 'accept', '4271 4.3', '00');
announce('host bits set beside it', 'accept', '4271 4.3', '110a0aff');
instead('nlri', 'host bits set beyond the length', 'accept', '4271 4.3', ({ prefix }) => {
  // A length of 23 needs three octets, of which the last bit means nothing.
  return nlriOf(prefix) + '17' + quad(prefix.replace(/\/.*/, '')).slice(0, 4) + 'ff';
});
instead('nlri', 'the same prefix twice', 'accept', '4271 4.3', ({ prefix }) => nlriOf(prefix).repeat(2));
const withdraw = (name: string, expected: Expected, rfc: string, withdrawn: string, options: Options = {}) =>
  add(name, expected, rfc, () => update({ withdrawn }), options);
withdraw('withdrawn prefix length 33', 'reset', '7606 5.3', '210a09080000');
withdraw('withdrawn prefix length 255', 'reset', '7606 5.3', 'ff');
withdraw('withdrawn prefix cut short', 'reset', '7606 5.3', '200a0908');
withdraw('a route never announced withdrawn', 'accept', '4271 4.3', '18c63364', { seen: 'unchanged' });
add('withdrawn and announced at once', 'accept', '4271 4.3', ({ origin, asPath, nextHop, nlri }) =>
  update({ withdrawn: nlri, attributes: origin + asPath + nextHop, nlri }),
);
add('withdrawn twice', 'accept', '4271 4.3', ({ nlri }) => update({ withdrawn: nlri.repeat(2) }), {
  seen: 'withdrawn',
});
add(
  'withdrawn with malformed attributes that announce nothing',
  'reset',
  '7606 5.2',
  ({ nlri }) => update({ withdrawn: nlri, attributes: attr(0x40, 1, '') }),
  { also: ['withdraw'] },
);

group = 'multiprotocol';
const V6 = '20010db8000000000000000000000001';
const reach = (value: string, flags = 0x80, length = size(value)) => attr(flags, 14, value, length);
const unreach = (value: string, flags = 0x80) => attr(flags, 15, value);
const goodReach = reach(`00020110${V6}00` + '3020010db80001');
for (const length of [0, 1, 2]) {
  extra(`MP_REACH_NLRI of ${length} octets`, 'reset', '7606 7.11', reach('000201'.slice(0, length * 2)));
  extra(`MP_UNREACH_NLRI of ${length} octets`, 'reset', '7606 5.3', unreach('000201'.slice(0, length * 2)));
}
extra('MP_REACH_NLRI of 3 octets', 'reset', '7606 7.11', reach('000201'));
extra('MP_REACH_NLRI of 4 octets', 'reset', '7606 7.11', reach('00020110'));
for (const length of [0, 4, 15, 17, 24, 31, 33]) {
  const value = `000201${byte(length)}${(V6 + V6 + V6).slice(0, length * 2)}00` + '3020010db80001';
  extra(`IPv6 next hop of ${length} octets`, 'reset', '7606 7.11', reach(value));
}
extra('next hop over MP_REACH_NLRI', 'reset', '7606 7.11', reach(`000201ff${V6}00`));
extra('IPv6 prefix length 129', 'reset', '7606 5.3', reach(`00020110${V6}00` + '81' + V6 + '00'));
extra('IPv6 prefix cut short', 'reset', '7606 5.3', reach(`00020110${V6}00` + '3020010d'));
extra('withdrawn IPv6 prefix length 129', 'reset', '7606 5.3', unreach('000201' + '81' + V6 + '00'));
extra('withdrawn IPv6 prefix cut short', 'reset', '7606 5.3', unreach('000201' + '3020010d'));
extra('MP_REACH_NLRI twice', 'reset', '7606 3 g', goodReach + goodReach);
extra('MP_UNREACH_NLRI twice', 'reset', '7606 3 g', unreach('00020100') + unreach('00020100'));
extra(
  'MP_REACH_NLRI with Transitive flipped',
  'withdraw',
  '7606 3 c',
  reach(`00020110${V6}00` + '3020010db80001', 0xc0),
);
extra('MP_REACH_NLRI with Optional flipped', 'withdraw', '7606 3 c', reach(`00020110${V6}00` + '3020010db80001', 0x00));
extra('MP_UNREACH_NLRI with Transitive flipped', 'withdraw', '7606 3 c', unreach('000201' + '3020010db80001', 0xc0));
extra('IPv6 next hop ::', 'withdraw', '4271 6.3', reach(`00020110${'00'.repeat(16)}00` + '3020010db80001'));
extra(
  'IPv6 next hop multicast',
  'withdraw',
  '4271 6.3',
  reach(`00020110ff02${'00'.repeat(13)}0100` + '3020010db80001'),
);
extra('IPv4 and IPv6 routes at once', 'accept', '4760 3', goodReach);
extra('IPv6 withdrawn beside IPv4 announced', 'accept', '4760 4', unreach('000201' + '3020010db80001'));
extra('MP_REACH_NLRI without routes', 'accept', '4760 3', reach(`00020110${V6}00`));
extra('reserved octet of MP_REACH_NLRI set', 'accept', '4760 3', reach(`00020110${V6}ff` + '3020010db80001'));
extra('IPv6 link-local prefix', 'accept', '4271 6.3', reach(`00020110${V6}00` + '40fe80000000000000'));
extra('IPv6 multicast prefix', 'accept', '4271 6.3', reach(`00020110${V6}00` + '10ff02'));
extra('MP_REACH_NLRI of a family not negotiated', 'discard', '4760 7', reach('0001800c' + '00'.repeat(12) + '00'), {
  also: ['accept', 'reset'],
});
extra('MP_REACH_NLRI of an unknown family', 'discard', '4760 7', reach('7fff7f0000'), { also: ['accept', 'reset'] });
extra('MP_UNREACH_NLRI of a family not negotiated', 'discard', '4760 7', unreach('0001805800'), {
  also: ['accept', 'reset'],
});
add(
  'IPv6 announced without ORIGIN',
  'withdraw',
  '7606 3 d',
  ({ asPath }) => update({ attributes: goodReach + asPath }),
  {
    seen: 'unchanged',
  },
);
add(
  'IPv6 announced without NEXT_HOP',
  'accept',
  '4760 3',
  ({ origin, asPath }) => update({ attributes: goodReach + origin + asPath }),
  { seen: 'unchanged' },
);

add(
  'IPv6 announced beside a malformed NEXT_HOP',
  'discard',
  '4760 3',
  ({ origin, asPath }) => update({ attributes: goodReach + origin + asPath + attr(0x40, 3, '0a00') }),
  { seen: 'unchanged', also: ['withdraw'] },
);

group = 'no routes';
add('End-of-RIB of IPv4', 'accept', '4724 2', () => update({}), { seen: 'unchanged' });
add('End-of-RIB of IPv6', 'accept', '4724 2', () => update({ attributes: unreach('000201') }), { seen: 'unchanged' });
add(
  'empty MP_UNREACH_NLRI with attributes',
  'accept',
  '7606 5.2',
  ({ origin, asPath }) => update({ attributes: unreach('000201') + origin + asPath }),
  { seen: 'unchanged' },
);
add(
  'good attributes without routes',
  'accept',
  '7606 5.2',
  ({ origin, asPath, nextHop }) => update({ attributes: origin + asPath + nextHop }),
  { seen: 'unchanged' },
);
add(
  'malformed AGGREGATOR without routes',
  'discard',
  '7606 5.2',
  ({ origin, asPath, nextHop }) => update({ attributes: origin + asPath + nextHop + attr(0xc0, 7, '00') }),
  { seen: 'unchanged' },
);
add('malformed ORIGIN without routes', 'reset', '7606 5.2', ({ asPath, nextHop }) =>
  update({ attributes: attr(0x40, 1, '') + asPath + nextHop }),
);
add('attribute overrun without routes', 'reset', '7606 5.2', ({ origin, asPath, nextHop }) =>
  update({ attributes: origin + asPath + nextHop + attr(0x80, 4, long(1), 9) }),
);

group = 'several at once';
extra('AGGREGATOR and COMMUNITIES malformed', 'withdraw', '7606 3 i', attr(0xc0, 7, '00') + attr(0xc0, 8, 'ff'));
extra(
  'COMMUNITIES malformed and MP_REACH_NLRI twice',
  'reset',
  '7606 3 i',
  attr(0xc0, 8, 'ff') + goodReach + goodReach,
);
extra('COMMUNITIES malformed and IPv6 announced', 'withdraw', '7606 3 i', attr(0xc0, 8, 'ff') + goodReach);
extra('ATOMIC_AGGREGATE and AGGREGATOR malformed', 'discard', '7606 3 i', attr(0x40, 6, '00') + attr(0xc0, 7, '00'), {
  absent: [7],
});
instead('origin', 'ORIGIN malformed and own routes behind it', 'withdraw', '7606 3 i', attr(0x40, 1, '07'));

group = 'large';
extra(
  'attributes that leave one octet of the longest message',
  'accept',
  '4271 4',
  wide(0xc0, 200, '00'.repeat(4020)),
  {
    // What cannot be sent on after a prepend must not stay as it was: withdrawn or passed on without the attribute.
    seen: 'replaced',
    also: ['withdraw'],
  },
);
extra(
  '900 communities',
  'accept',
  '1997',
  wide(0xc0, 8, Array.from({ length: 900 }, (_, i) => `fde8${word(i)}`).join('')),
);

/** The whole table. */
export const malformedUpdates: readonly MalformedCase[] = cases;

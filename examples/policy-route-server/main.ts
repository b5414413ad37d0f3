/**
 * A route server whose policy is a TypeScript function: what one member announces, the others get, unless the policy says no.
 * `node main.ts ADDRESS=ASN…` listens on port 179 for these members.
 */
import { createSpeaker } from 'kube-router-sdk/bgp';
import type { Policy } from 'kube-router-sdk/bgp';
import { overlaps, parsePrefix } from 'kube-router-sdk/net';

/** Never to be seen between networks (RFC 6890). */
const bogons = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', '127.0.0.0/8'].map((text) =>
  parsePrefix(text),
);
const community = (asn: number, value: number): number => ((asn << 16) | value) >>> 0;

const importPolicy: Policy = {
  readsPeer: false,
  evaluate({ prefix, source, attributes }) {
    const parsed = parsePrefix(prefix);
    const path = (attributes.asPath ?? []).flatMap(({ asns }) => asns);
    const reason = bogons.some((bogon) => overlaps(bogon, parsed))
      ? 'a bogon'
      : parsed.length > 24
        ? 'longer than /24'
        : path.length > 10
          ? 'too long a path'
          : undefined;
    if (reason !== undefined) {
      console.log(`refused ${prefix} of ${source.address}: ${reason}`);
      return false;
    }
    // learned from whom, for the members to choose by
    return { communities: [...(attributes.communities ?? []), community(64512, source.asn & 0xffff)] };
  },
};

await using speaker = await createSpeaker({
  asn: 64512,
  routerId: '192.0.2.1',
  listen: [{ address: '0.0.0.0' }],
  importPolicy,
  peers: process.argv.slice(2).map((member) => {
    const [address = '', asn = ''] = member.split('=');
    // next hops stay the members' own: traffic does not pass here
    return { address, asn: Number(asn), passive: true, nextHopUnchanged: true };
  }),
});
console.log('listening');
await new Promise((resolve) => process.once('SIGTERM', resolve));
await speaker.close();

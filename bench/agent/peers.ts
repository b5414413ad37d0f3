/**
 * The other nodes of the cluster, as far as BGP goes, in one process: `peers.ts AGENT ASN`. Each is a speaker at its own address
 * that waits for the agent under measurement and announces its pods' range; without them an idle agent would dial forty-nine dead hosts.
 */
import { createSpeaker } from '../../src/bgp/index.ts';
import { NODES, nodeAddress, podRange } from './cluster.ts';

const [agent = '', asn = ''] = process.argv.slice(2);
for (let n = 2; n <= NODES; n++) {
  const address = nodeAddress(n);
  const speaker = await createSpeaker({
    asn: Number(asn),
    routerId: address,
    listen: [{ address }],
    peers: [{ address: agent, asn: Number(asn), localAddress: address, passive: true }],
  });
  speaker.setAdvertisements([{ prefix: podRange(n), origin: 'pod-cidr' }]);
}
console.log(`${NODES - 1} peers`);

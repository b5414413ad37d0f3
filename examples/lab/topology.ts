/**
 * Who is in the lab and how the cables run: three Kubernetes nodes and a control plane on one Ethernet segment, a top-of-rack
 * router that is the segment's gateway, and a client behind the router. Data only; places.ts makes it real.
 * Addressing follows kube-router's demo (nodes 192.168.1.0/24, pods 10.1.x.0/24, services 172.16.0.0/16), with IPv6 beside it.
 */

/** A machine of the lab: a network, mount and host name of its own. */
export interface Machine {
  readonly name: string;
  /** Interface addresses with prefix length. */
  readonly addresses: readonly string[];
  readonly gateways: readonly string[];
}

export const tor = {
  name: 'tor',
  asn: 65000,
  fabric: ['192.168.1.254/24', '2001:db8:1::fe/64'],
  outside: ['198.51.100.1/24', '2001:db8:c::1/64'],
} as const;

const fabricGateways = ['192.168.1.254', '2001:db8:1::fe'];

export const nodes: readonly Machine[] = [1, 2, 3].map((n) => ({
  name: `node${n}`,
  addresses: [`192.168.1.1${n}/24`, `2001:db8:1::1${n}/64`],
  gateways: fabricGateways,
}));

export const controlPlane: Machine = {
  name: 'api',
  addresses: ['192.168.1.250/24', '2001:db8:1::250/64'],
  gateways: fabricGateways,
};

export const client: Machine = {
  name: 'client',
  addresses: ['198.51.100.10/24', '2001:db8:c::10/64'],
  gateways: ['198.51.100.1', '2001:db8:c::1'],
};

export const apiPort = 6443;
export const clusterAsn = 64512;
export const podRange = { v4: '10.1.0.0/16', v6: 'fd00:10:1::/48' };
export const serviceRange = { v4: '172.16.0.0/16', v6: 'fd00:172:16::/112' };
export const loadBalancerRange = { v4: '203.0.113.0/24', v6: '2001:db8:f00d::/112' };
/** BGP hold time towards the router, in seconds: short, so that the loss of a node is seen within the demo. */
export const holdTimeSeconds = 9;

/** `192.168.1.11` of `192.168.1.11/24`. */
export const bare = (address: string): string => address.slice(0, address.indexOf('/'));

import { describe, expect, it } from 'vitest';
import { checkSpeaker } from './options.ts';
import type { SpeakerConfig } from './model.ts';

const RIGHT: SpeakerConfig = { asn: 65001, routerId: '192.0.2.1' };
const peer = (more: object): SpeakerConfig => ({ ...RIGHT, peers: [{ address: '192.0.2.9', asn: 65002, ...more }] });
const dynamic = (more: object): SpeakerConfig => ({
  ...RIGHT,
  dynamicPeers: [{ prefix: '192.0.2.0/24', asns: [65002], ...more }],
});

describe('a fault is named by its path', () => {
  it.each([
    ['asn', { ...RIGHT, asn: 0 }, 'asn must be an integer'],
    ['routerId', { ...RIGHT, routerId: '0.0.0.0' }, 'routerId must be a dotted quad'],
    ['clusterId', { ...RIGHT, clusterId: '7' }, 'clusterId must be a dotted quad'],
    ['holdTime', { ...RIGHT, holdTime: 2 }, 'holdTime must be 0 or at least 3'],
    ['listen[0].address', { ...RIGHT, listen: [{ address: 'all', port: 179 }] }, '"all" is no address'],
    ['listen[0].port', { ...RIGHT, listen: [{ address: '::', port: 65_536 }] }, 'integer of 0–65535'],
    ['peers[0].asn', peer({ asn: 4_294_967_296 }), 'integer of 1–4294967295'],
    ['peers[0].address', peer({ address: 'fe80::1%' }), 'is no address'],
    ['peers[0].port', peer({ port: 0 }), 'integer of 1–65535'],
    ['peers[0].localAddress', peer({ localAddress: 'eth0' }), 'is no address'],
    ['peers[0].holdTime', peer({ holdTime: 1 }), 'at least 3'],
    ['peers[0].password', peer({ password: 'x'.repeat(81) }), '1–80 octets'],
    ['peers[0].ttlSecurity', peer({ ttlSecurity: 255 }), 'integer of 1–254'],
    ['peers[0].families[1]', peer({ families: ['ipv4-unicast', 'evpn'] }), 'ipv4-unicast or ipv6-unicast'],
    ['peers[0].families', peer({ families: [] }), 'must not be empty'],
    ['peers[0].gracefulRestart.restartTime', peer({ gracefulRestart: { restartTime: 4096 } }), 'integer of 1–4095'],
    ['peers[0].maxPrefixes.limit', peer({ maxPrefixes: { limit: 0 } }), 'integer of 1–'],
    ['peers[0].bfd.interval', peer({ bfd: { interval: 5, multiplier: 3 } }), 'integer of 10–60000'],
    ['peers[0].routeReflectorClient', peer({ routeReflectorClient: true }), 'our own AS 65001 (RFC 4456)'],
    ['dynamicPeers[0].prefix', dynamic({ prefix: '192.0.2.0/33' }), 'is no prefix'],
    ['dynamicPeers[0].asns', dynamic({ asns: [] }), 'must not be empty'],
    ['dynamicPeers[0].asns[1]', dynamic({ asns: [65002, -1] }), 'integer of 1–'],
    [
      'dynamicPeers[0].routeReflectorClient',
      dynamic({ asns: [65001, 65002], routeReflectorClient: true }),
      'our own AS 65001',
    ],
    ['aggregates[0].prefix', { ...RIGHT, aggregates: [{ prefix: '10.1.0.1/16' }] }, 'is no prefix'],
  ])('%s', (path, config, reason) => {
    let thrown: unknown;
    try {
      checkSpeaker(config);
    } catch (error) {
      thrown = error;
    }
    expect(thrown).toMatchObject({ code: 'INVALID_OPTION', details: { path } });
    expect((thrown as Error).message).toContain(reason);
  });

  it('one address twice', () => {
    const one = { address: '192.0.2.9', asn: 65002 };
    expect(() => checkSpeaker({ ...RIGHT, peers: [one, one] })).toThrow('peers[1].address is configured twice');
    expect(() => checkSpeaker({ ...RIGHT, peers: [one, { ...one, port: 1179 }] })).not.toThrow();
  });

  it('reflection to a peer of our own AS is right', () => {
    expect(() => checkSpeaker(peer({ asn: 65001, routeReflectorClient: true }))).not.toThrow();
  });
});

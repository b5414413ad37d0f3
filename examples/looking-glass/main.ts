/**
 * A looking glass: a speaker that announces nothing, and a web page of what its peers tell it.
 * `node main.ts PORT ROUTER=ASN…`, then `/peers`, `/routes?within=PREFIX` and `/route?to=ADDRESS`.
 */
import { createServer } from 'node:http';
import { createSpeaker } from 'kube-router-sdk/bgp';
import type { PathView } from 'kube-router-sdk/bgp';
import { isSdkError } from 'kube-router-sdk/net';

const [port = '8080', ...routers] = process.argv.slice(2);
const speaker = await createSpeaker({
  asn: 64512,
  routerId: '192.0.2.1',
  peers: routers.map((router) => {
    const [address = '', asn = ''] = router.split('=');
    return { address, asn: Number(asn) };
  }),
  exportPolicy: { readsPrefix: false, readsPeer: false, evaluate: () => false },
});

const show = ({ prefix, nextHop, attributes, best, reason }: PathView): string => {
  const path = (attributes.asPath ?? []).flatMap(({ asns }) => asns).join(' ');
  return `${best ? '*' : ' '} ${prefix.padEnd(18)} via ${nextHop.padEnd(15)} path ${path.padEnd(12)} ${reason}`;
};

const answers: Readonly<Record<string, (query: URLSearchParams) => string[]>> = {
  '/peers': () =>
    speaker.peers().map(({ address, asn, state, received }) => `${address} AS${asn} ${state}, ${received} routes`),
  '/routes': (query) => speaker.subnets(query.get('within') ?? '0.0.0.0/0').map(show),
  '/route': (query) => speaker.lookup(query.get('to') ?? '').map(show),
};

createServer((request, response) => {
  const url = new URL(request.url ?? '/', 'http://localhost');
  const answer = answers[url.pathname];
  try {
    if (answer === undefined) response.writeHead(404).end('try /peers, /routes?within=PREFIX or /route?to=ADDRESS\n');
    else response.end([...answer(url.searchParams), ''].join('\n'));
  } catch (error) {
    if (!isSdkError(error)) throw error;
    response.writeHead(400).end(`${error.code}: ${error.message}\n`);
  }
}).listen(Number(port), '127.0.0.1');

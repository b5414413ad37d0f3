/**
 * Draws the diagrams of the guides from the small descriptions below: boxes on a grid, arrows between them. Three columns at most, so
 * that a phone shows them in a readable size. `--check` fails when a committed drawing is not what stands here.
 */
import { escape, frame, writeAll } from './svg.ts';
import { bare, client, nodes, podRange, serviceRange, tor } from '../examples/lab/topology.ts';

/** Column, row, text, smaller text under it, and what it is: pure code, an effect, or something outside. */
type Box = readonly [
  column: number,
  row: number,
  text: string,
  note?: string | undefined,
  kind?: 'box' | 'effect' | 'outside',
];
/** From, to, and what goes there. */
type Arrow = readonly [from: string, to: string, text?: string];
interface Diagram {
  /** What it shows, for those who cannot see it. */
  readonly label: string;
  readonly boxes: Readonly<Record<string, Box>>;
  readonly arrows: readonly Arrow[];
  /** Lines under the drawing. */
  readonly notes?: readonly string[];
}

const legend = ['blue: pure, no I/O · orange: effects, given as arguments · grey: not ours'];

const diagrams: Readonly<Record<string, Diagram>> = {
  pipeline: {
    label: 'Objects are compiled to desired state, planned against what is observed, rendered and applied',
    boxes: {
      api: [0, 0, 'API, files', 'Kubernetes objects', 'outside'],
      informers: [1, 0, 'informers', 'streams of changes', 'effect'],
      project: [2, 0, 'project', 'flat, validated values'],
      compile: [2, 1, 'compile', 'items by key'],
      plan: [1, 1, 'plan', 'desired − observed'],
      render: [0, 1, 'render', 'text for a tool'],
      runner: [0, 2, 'runner', 'one process a tool', 'effect'],
      kernel: [1, 2, 'kernel, peers', undefined, 'outside'],
      parse: [2, 2, 'parse', 'observed items'],
    },
    arrows: [
      ['api', 'informers'],
      ['informers', 'project'],
      ['project', 'compile', 'what changed'],
      ['compile', 'plan'],
      ['plan', 'render'],
      ['render', 'runner'],
      ['runner', 'kernel'],
      ['kernel', 'parse'],
      ['parse', 'plan'],
    ],
    notes: legend,
  },
  values: {
    label: 'Blocks meet through plain values: advertisements, kernel routes, virtual addresses, issues',
    boxes: {
      informers: [1, 0, 'informers', 'Pods, Services, …', 'effect'],
      ipvs: [0, 1, 'ipvs', 'virtual servers'],
      ingress: [1, 1, 'ingress', 'VIPs of this node'],
      firewall: [2, 1, 'firewall', 'chains and sets'],
      bgp: [1, 2, 'bgp', 'speaker', 'effect'],
      routing: [2, 2, 'routing', 'routes, tunnels'],
      kernel: [0, 3, 'kernel', undefined, 'outside'],
      routers: [1, 3, 'routers', undefined, 'outside'],
    },
    arrows: [
      ['informers', 'ipvs'],
      ['informers', 'ingress'],
      ['informers', 'firewall'],
      ['ingress', 'bgp', 'Advertisement[]'],
      ['bgp', 'routing', 'KernelRoute'],
      ['bgp', 'routers'],
      ['ipvs', 'kernel', 'IpvsState'],
    ],
    notes: ['An arrow carries readonly objects with canonical text.', 'No block imports another.'],
  },
  loop: {
    label: 'The passes of reconcile(): settle, observe when needed, plan, apply, wait; retry with growing pauses',
    boxes: {
      desired: [0, 0, 'desired$', 'newest state wins', 'effect'],
      settle: [1, 0, 'settle', '20 ms, at most 200'],
      observe: [2, 0, 'observe', 'only when needed', 'effect'],
      plan: [2, 1, 'plan', 'dirty keys only'],
      apply: [1, 1, 'apply', 'add before delete', 'effect'],
      event: [0, 1, 'event', 'changes, remaining'],
      retry: [2, 2, 'pause, read anew', 'grows, with jitter'],
    },
    arrows: [
      ['desired', 'settle'],
      ['settle', 'observe'],
      ['observe', 'plan'],
      ['plan', 'apply'],
      ['apply', 'event', 'done'],
      ['apply', 'retry', 'failed'],
      ['retry', 'plan'],
    ],
    notes: [
      'Read at start, after a pass with unknown end, every five minutes.',
      'Removed only when every source has synced and none is stale.',
    ],
  },
  'bgp-route': {
    label: 'The way of a route through the speaker, from the bytes of a peer to the kernel and to other peers',
    boxes: {
      peer: [0, 0, 'peer', 'UPDATE', 'outside'],
      decode: [1, 0, 'decode, judge', 'RFC 7606'],
      input: [2, 0, 'Adj-RIB-In', 'as received'],
      policy: [2, 1, 'import policy', 'your function'],
      local: [1, 1, 'best path', 'with its reason'],
      own: [0, 1, 'announce()', 'Advertisement[]', 'effect'],
      routes: [0, 2, 'routes$', 'KernelRoute', 'effect'],
      out: [1, 2, 'export policy', 'your function'],
      group: [2, 2, 'update group', 'encoded once'],
      others: [2, 3, 'peers', undefined, 'outside'],
    },
    arrows: [
      ['peer', 'decode'],
      ['decode', 'input'],
      ['input', 'policy'],
      ['policy', 'local'],
      ['own', 'local'],
      ['local', 'routes'],
      ['local', 'out'],
      ['out', 'group'],
      ['group', 'others'],
    ],
  },
  service: {
    label: 'The way of a packet to a Service through a node',
    boxes: {
      client: [0, 0, 'pod, node, client', 'to VIP:port', 'outside'],
      vip: [1, 0, 'kube-dummy-if', 'the VIP is local'],
      guard: [2, 0, 'service firewall', 'other ports refused'],
      refuse: [2, 1, 'no endpoint', 'refused at once'],
      ipvs: [1, 1, 'IPVS', 'hash lookup, scheduler'],
      masq: [0, 1, 'masquerade', 'clients from outside'],
      here: [1, 2, 'pod here', undefined, 'outside'],
      there: [0, 2, 'pod elsewhere', undefined, 'outside'],
    },
    arrows: [
      ['client', 'vip'],
      ['vip', 'guard'],
      ['guard', 'refuse'],
      ['guard', 'ipvs'],
      ['ipvs', 'here'],
      ['ipvs', 'masq'],
      ['masq', 'there'],
    ],
    notes: ['Direct server return takes the tunnel instead of the translation:', 'the pod answers the client itself.'],
  },
  dsr: {
    label: 'Direct server return: the request passes router and director, the answer goes straight to the client',
    boxes: {
      client: [0, 0, 'client', undefined, 'outside'],
      router: [1, 0, 'router', 'ECMP over nodes', 'outside'],
      one: [2, 0, 'director', 'IPVS, scheduler mh'],
      other: [1, 1, 'any director', 'picks the same pod'],
      pod: [2, 2, 'pod', 'holds the VIP', 'outside'],
      back: [0, 2, 'the answer', 'from the VIP', 'outside'],
    },
    arrows: [
      ['client', 'router', 'to the VIP'],
      ['router', 'one'],
      ['router', 'other'],
      ['one', 'pod', 'tunnel'],
      ['other', 'pod'],
      ['pod', 'back', 'no director'],
      ['back', 'client'],
    ],
  },
  policy: {
    label: 'The way of a packet through the policy firewall of a node',
    boxes: {
      packet: [0, 0, 'packet', 'to or from a pod', 'outside'],
      known: [1, 0, 'established?', 'and still allowed'],
      accept: [2, 0, 'goes on', undefined, 'outside'],
      egress: [0, 1, 'egress of source', 'if isolated'],
      ingress: [1, 1, 'ingress of dest.', 'if isolated'],
      mark: [2, 1, 'allowed by all', 'whose pods are here'],
      log: [0, 2, 'NFLOG 100', 'ten a minute a class'],
      reject: [1, 2, 'REJECT', 'and explained', 'outside'],
    },
    arrows: [
      ['packet', 'known'],
      ['known', 'accept', 'yes'],
      ['known', 'egress'],
      ['egress', 'ingress', 'allows'],
      ['ingress', 'mark', 'allows'],
      ['mark', 'accept'],
      ['egress', 'log', 'no rule allows'],
      ['ingress', 'log'],
      ['log', 'reject'],
    ],
  },
  pods: {
    label:
      'A packet from a pod to a pod on another node: routed, or in a tunnel where the network between does not route pods',
    boxes: {
      a: [0, 0, 'pod 10.1.1.2', 'on node1', 'outside'],
      node1: [1, 0, 'node1', 'route of protocol 17'],
      same: [2, 0, 'same segment', 'via node2, as it is'],
      other: [1, 1, 'other segment', 'tunnel: ipip, fou …'],
      node2: [2, 1, 'node2', 'bridge'],
      b: [2, 2, 'pod 10.1.2.2', 'sees 10.1.1.2', 'outside'],
    },
    arrows: [
      ['a', 'node1'],
      ['node1', 'same'],
      ['node1', 'other'],
      ['same', 'node2'],
      ['other', 'node2'],
      ['node2', 'b'],
    ],
  },
  vip: {
    label: 'From a Service to an announcement of its address: allocation, checks, readiness, attributes',
    boxes: {
      service: [0, 0, 'Service', 'LoadBalancer, external', 'outside'],
      pool: [1, 0, 'pool allocator', 'by the leader alone'],
      check: [2, 0, 'checks', 'in a range, free'],
      ready: [2, 1, 'endpoints', 'ready? local?'],
      node: [1, 1, 'this node', 'cordoned? leaving?'],
      attributes: [0, 1, 'attributes', 'annotations'],
      announce: [0, 2, 'Advertisement', 'to any speaker', 'effect'],
      held: [2, 2, 'held back', 'with the reason'],
    },
    arrows: [
      ['service', 'pool', 'no address'],
      ['pool', 'check'],
      ['check', 'ready'],
      ['ready', 'node'],
      ['node', 'attributes'],
      ['attributes', 'announce'],
      ['ready', 'held', 'none'],
    ],
  },
  lab: {
    label: 'The lab: three nodes and a router on one segment, a client behind the router',
    boxes: {
      client: [1, 0, client.name, bare(client.addresses[0] ?? ''), 'outside'],
      tor: [1, 1, `${tor.name}: FRR, AS ${tor.asn}`, bare(tor.fabric[0]), 'outside'],
      ...Object.fromEntries(
        nodes.map(({ name, addresses }, at): [string, Box] => [
          name,
          [at, 2, name, bare(addresses[0] ?? ''), 'effect'],
        ]),
      ),
    },
    arrows: [['client', 'tor'], ...nodes.map(({ name }): Arrow => ['tor', name])],
    notes: [`pods ${podRange.v4}, ${podRange.v6}`, `Services ${serviceRange.v4}, ${serviceRange.v6}`],
  },
};

const [boxWidth, boxHeight, columnWidth, rowHeight, margin] = [158, 54, 204, 104, 14];
/** Letters that fit into a box, at the smaller size. */
const NOTE_LENGTH = 24;

/** Where the line from one box's middle to a point leaves the box. */
function edge(x: number, y: number, toX: number, toY: number): [number, number] {
  const [dx, dy] = [toX - x, toY - y];
  const scale = Math.min(boxWidth / 2 / Math.abs(dx || 1e-9), boxHeight / 2 / Math.abs(dy || 1e-9));
  return [Math.round(x + dx * scale), Math.round(y + dy * scale)];
}

function draw({ label, boxes, arrows, notes = [] }: Diagram): string {
  const all = Object.values(boxes);
  const columns = Math.max(...all.map(([column]) => column)) + 1;
  const lines = Math.max(...all.map(([, row]) => row)) + 1;
  // room for what is written above the first row
  const top =
    margin +
    (arrows.some(([from, to, text]) => text !== undefined && boxes[from]?.[1] === 0 && boxes[to]?.[1] === 0) ? 16 : 0);
  const middle = (id: string): [number, number] => {
    const box = boxes[id];
    if (box === undefined) throw new Error(`no box ${id} in: ${label}`);
    return [margin + box[0] * columnWidth + boxWidth / 2, top + box[1] * rowHeight + boxHeight / 2];
  };
  const width = 2 * margin + (columns - 1) * columnWidth + boxWidth;
  const bottom = top + margin + (lines - 1) * rowHeight + boxHeight;
  const paths = arrows.flatMap(([from, to, text]) => {
    const [a, b] = [middle(from), middle(to)];
    const [start, end] = [edge(...a, ...b), edge(...b, ...a)];
    const path = `<path class="arrow" d="M${start.join(' ')}L${end.join(' ')}"/>`;
    if (text === undefined) return [path];
    const [x, y] = [Math.round((start[0] + end[0]) / 2), Math.round((start[1] + end[1]) / 2)];
    // beside a line that goes down, above one that goes across
    return [
      path,
      a[1] === b[1]
        ? `<text class="note middle" x="${x}" y="${a[1] - boxHeight / 2 - 4}">${escape(text)}</text>`
        : a[0] + boxWidth > width - 2 * margin && a[0] === b[0]
          ? `<text class="note end" x="${x - 8}" y="${y + 5}">${escape(text)}</text>`
          : `<text class="note" x="${x + 8}" y="${y + 5}">${escape(text)}</text>`,
    ];
  });
  const rectangles = Object.entries(boxes).flatMap(([id, [, , text, note, kind = 'box']]) => {
    const [x, y] = middle(id);
    if ((note ?? '').length > NOTE_LENGTH) throw new Error(`too long for its box: ${note ?? ''}`);
    return [
      `<rect class="${kind}" x="${x - boxWidth / 2}" y="${y - boxHeight / 2}" width="${boxWidth}" height="${boxHeight}" rx="6"/>`,
      `<text class="middle" x="${x}" y="${note === undefined ? y + 5 : y - 3}">${escape(text)}</text>`,
      ...(note === undefined ? [] : [`<text class="note middle" x="${x}" y="${y + 16}">${escape(note)}</text>`]),
    ];
  });
  const under = notes.map(
    (note, at) => `<text class="note" x="${margin}" y="${bottom + 12 + at * 18}">${escape(note)}</text>`,
  );
  const height = bottom + (notes.length > 0 ? 4 + notes.length * 18 : 0);
  return frame(width, height, label, [...paths, ...rectangles, ...under]);
}

writeAll(
  new Map(Object.entries(diagrams).map(([name, diagram]) => [`docs/guide/diagrams/${name}.svg`, draw(diagram)])),
  'npm run drawings',
);

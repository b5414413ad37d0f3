/** The guides' commands in the lab's cluster: what each page of documentation says is what three nodes and a router do. */
import { describeBlocks } from '../support/doc-suite.ts';

describeBlocks('lab', 540_000);

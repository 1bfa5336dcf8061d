/**
 * Whom a request is counted as before anybody is known: the peer of its socket or, where that is a
 * proxy that the operator trusts, the address that proxy saw. What comes further left in
 * `X-Forwarded-For` than the first untrusted address was written by nobody in particular.
 */
import { BlockList, SocketAddress, isIP } from 'node:net';
import { invariant } from '../core/invariant.ts';

const IPV6_GROUPS = 8;
/** Of an IPv6 address: a customer is given at least all addresses behind these. */
const NETWORK_GROUPS = 4;

export class ClientAddresses {
  readonly #trusted = new BlockList();

  /** Addresses and CIDR ranges, each of which `isAddressRange` knows. */
  constructor(trustedProxies: readonly string[]) {
    for (const range of trustedProxies)
      invariant(add(this.#trusted, range), 'client-addresses.range-known');
  }

  /**
   * An IPv4 address, or the /64 network of an IPv6 one; '' for a peer without an address. `peer` as
   * the socket has it; `forwardedFor` is all of `X-Forwarded-For` in the order of its lines.
   */
  of(peer: string, forwardedFor: string): string {
    let address = plain(peer);
    // Each trusted proxy tells, at the end of what it was given, who spoke to it.
    const told = forwardedFor === '' ? [] : forwardedFor.split(',');
    while (this.#isTrusted(address)) {
      const before = plain(told.pop() ?? '');
      if (before === '') break;
      address = before;
    }
    return isIP(address) === 6 ? networkOf(address) : address;
  }

  #isTrusted(address: string): boolean {
    return address !== '' && this.#trusted.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
  }
}

/** An address, or a range as `10.0.0.0/8` and `fd00::/8`. */
export function isAddressRange(text: string): boolean {
  return add(new BlockList(), text);
}

/** False = it is none. */
function add(list: BlockList, range: string): boolean {
  const [, address = range, bits] = /^(.*)\/(\d{1,3})$/.exec(range) ?? [];
  const version = isIP(address);
  // Peers that come in as `::ffff:…` are IPv4: a range of those would match nobody.
  if (version === 0 || isIP(plain(address)) !== version) return false;
  const family = version === 6 ? 'ipv6' : 'ipv4';
  try {
    if (bits === undefined) list.addAddress(plain(address), family);
    else list.addSubnet(plain(address), Number(bits), family);
    return true;
  } catch {
    return false;
  }
}

/** In its shortest form, IPv4 as such, without the port that some proxies name; '' = it is none. */
function plain(text: string): string {
  const given = text.trim();
  const [, inBrackets, beforePort] = /^(?:\[([^\]]*)\]|([^:]*))(?::\d+)?$/.exec(given) ?? [];
  const address = inBrackets ?? beforePort ?? given;
  switch (isIP(address)) {
    case 4:
      return address;
    case 6: {
      const short = new SocketAddress({ address, family: 'ipv6' }).address;
      return /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(short)?.[1] ?? short;
    }
    default:
      return '';
  }
}

/** Of an address in its shortest form. */
function networkOf(address: string): string {
  const [front = [], back = []] = address
    .split('::')
    .map((part) => part.split(':').filter(Boolean));
  const zeros = Array.from({ length: IPV6_GROUPS - front.length - back.length }, () => '0');
  return `${[...front, ...zeros, ...back].slice(0, NETWORK_GROUPS).join(':')}::/64`;
}

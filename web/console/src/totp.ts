const period = 30_000;
const digits = 6;
const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567';

/**
 * The code that an authenticator app with a base32 secret shows at a moment, in milliseconds (RFC 6238). Rejects where
 * browsers compute none: at an address that is neither https nor this machine's own.
 */
export async function totp(secret: string, at: number): Promise<string> {
  const key = await crypto.subtle.importKey('raw', decode(secret), { name: 'HMAC', hash: 'SHA-1' }, false, ['sign']);
  const counter = new DataView(new ArrayBuffer(8));
  counter.setBigUint64(0, BigInt(Math.floor(at / period)));
  const mac = new DataView(await crypto.subtle.sign('HMAC', key, counter));
  const offset = mac.getUint8(mac.byteLength - 1) & 0xf;
  const code = (mac.getUint32(offset) & 0x7fffffff) % 10 ** digits;
  return String(code).padStart(digits, '0');
}

/** The codes to try, each of which counts once: that of this moment, and the next one, which counts already. */
export async function codesAround(secret: string, now: number): Promise<string[]> {
  return Promise.all([totp(secret, now), totp(secret, now + period)]);
}

function decode(base32: string): Uint8Array<ArrayBuffer> {
  const bits = [...base32].map((letter) => alphabet.indexOf(letter).toString(2).padStart(5, '0')).join('');
  return Uint8Array.from(bits.match(/.{8}/g) ?? [], (octet) => Number.parseInt(octet, 2));
}

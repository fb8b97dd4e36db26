// Signing in by a provider: the code flow of oidc-provider, which is certified, against the running binary. The browser
// is this program: it keeps cookies, follows redirects and stops at the page that it is sent back to.
import { once } from 'node:events';
import { createServer } from 'node:http';
import { exportJWK, generateKeyPair } from 'jose';
import { Provider } from 'oidc-provider';

import { withMarquee } from './marquee.js';

const callback = 'https://tickets.example/signed-in';
const client = { client_id: 'marquee', client_secret: 'the secret of the audit', redirect_uris: [callback] };

const people = {
  ada: { sub: 'ada', email: 'ada@audit.example', email_verified: true, name: 'Ada' },
  eve: { sub: 'eve', email: 'eve@audit.example', email_verified: false, name: 'Eve' },
};

/** Starts a provider where everybody signs in as who they say, and agrees. */
async function startProvider() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const issuer = `http://127.0.0.1:${server.address().port}`;
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  const provider = new Provider(issuer, {
    clients: [client],
    jwks: { keys: [{ ...(await exportJWK(privateKey)), alg: 'RS256', use: 'sig', kid: 'audit' }] },
    cookies: { keys: ['audit'] },
    claims: { email: ['email', 'email_verified'], profile: ['name'] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
    findAccount: (_, id) => ({ accountId: id, claims: () => people[id] }),
    pkce: { required: () => true },
  });
  const serve = provider.callback();
  server.on('request', async (request, response) => {
    if (!request.url.startsWith('/interaction/')) {
      serve(request, response);
      return;
    }
    try {
      await provider.interactionFinished(request, response, await agree(provider, request, response));
    } catch (error) {
      response.writeHead(500).end(String(error));
    }
  });
  return { issuer, close: () => server.close() };
}

async function agree(provider, request, response) {
  const { prompt, params, session } = await provider.interactionDetails(request, response);
  if (prompt.name === 'login') {
    return { login: { accountId: request.headers['x-person'] } };
  }
  const grant = new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope('openid email profile');
  return { consent: { grantId: await grant.save() } };
}

/** A browser of somebody: goes to an address and returns the one of the page that it is sent back to. */
async function browse(address, person) {
  const jar = new Map();
  for (let hops = 0; hops < 10; hops++) {
    const answer = await fetch(address, {
      redirect: 'manual',
      headers: { Cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; '), 'X-Person': person },
    });
    for (const cookie of answer.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      jar.set(name, value);
    }
    const next = answer.headers.get('Location');
    if (!next) {
      throw new Error(`the provider answered ${answer.status}: ${(await answer.text()).slice(0, 300)}`);
    }
    address = new URL(next, address);
    if (address.href.startsWith(callback)) {
      return address.searchParams;
    }
  }
  throw new Error('the provider redirects for ever');
}

const session = '__typename ... on SessionPayload { token user { id email } } ... on UserError { code }';

async function begin(visitor, field) {
  const input = { provider: 'audit', redirectUri: callback };
  const type = field[0].toUpperCase() + field.slice(1);
  const data = await visitor.ask(
    `mutation ($input: ${type}Input!) { ${field}(input: $input) { authorizationUrl flowToken } }`,
    { input },
  );
  return data[field];
}

/** What the page sends that the browser came back to. */
const answered = (flowToken, parameters) => ({
  flowToken,
  state: parameters.get('state'),
  code: parameters.get('code'),
  iss: parameters.get('iss'),
  redirectUri: callback,
});

async function complete(visitor, input) {
  const { completeProviderSignIn } = await visitor.ask(
    `mutation ($input: CompleteProviderSignInInput!) { completeProviderSignIn(input: $input) { ${session} } }`,
    { input },
  );
  return completeProviderSignIn;
}

async function signIn(server, person, change = {}) {
  const visitor = server.visitor();
  const { authorizationUrl, flowToken } = await begin(visitor, 'beginProviderSignIn');
  const input = { ...answered(flowToken, await browse(authorizationUrl, person)), ...change };
  return { visitor, input, result: await complete(visitor, input) };
}

function expect(what, got, want) {
  if (got !== want) {
    throw new Error(`${what}: ${got}, want ${want}`);
  }
}

const cases = {
  'a first sign-in makes an account, a second one finds it': async (server) => {
    const first = (await signIn(server, 'ada')).result;
    expect('address', first.user?.email, people.ada.email);
    expect('user', (await signIn(server, 'ada')).result.user?.id, first.user.id);
  },
  'the session works': async (server) => {
    const { visitor, result } = await signIn(server, 'ada');
    visitor.token = result.token;
    const { me } = await visitor.ask('{ me { linkedProviders { issuer provider { name label } } } }');
    expect('provider', me.linkedProviders[0].provider.name, 'audit');
  },
  'what was completed is over': async (server) => {
    const { visitor, input } = await signIn(server, 'ada');
    expect('again', (await complete(visitor, input)).code, 'PROVIDER_SIGN_IN_FAILED');
  },
  'a state of another browser is refused': async (server) => {
    const { result } = await signIn(server, 'ada', { state: 'x'.repeat(43) });
    expect('state', result.code, 'PROVIDER_SIGN_IN_FAILED');
  },
  'a code that the provider has not given is refused': async (server) => {
    const { result } = await signIn(server, 'ada', { code: 'x'.repeat(43) });
    expect('code', result.code, 'PROVIDER_SIGN_IN_FAILED');
  },
  'another issuer is refused': async (server) => {
    const { result } = await signIn(server, 'ada', { iss: 'https://evil.example' });
    expect('issuer', result.code, 'PROVIDER_SIGN_IN_FAILED');
  },
  'an address that is not verified makes no account': async (server) => {
    expect('eve', (await signIn(server, 'eve')).result.code, 'PROVIDER_EMAIL_UNVERIFIED');
  },
  'an address that somebody has links nothing, its owner does': async (server) => {
    const email = 'grace@audit.example';
    const visitor = server.visitor();
    const { confirmSignUp } = await visitor.ask(
      `mutation ($input: ConfirmSignUpInput!) { confirmSignUp(input: $input) { ${session} } }`,
      { input: await server.newAccount(email) },
    );
    people.grace = { sub: 'grace', email, email_verified: true, name: 'Grace' };
    expect('by address', (await signIn(server, 'grace')).result.code, 'ACCOUNT_EXISTS');
    visitor.token = confirmSignUp.token;
    const { authorizationUrl, flowToken } = await begin(visitor, 'beginProviderLink');
    const { linkProvider } = await visitor.ask(
      'mutation ($input: LinkProviderInput!) { linkProvider(input: $input) { __typename } }',
      { input: answered(flowToken, await browse(authorizationUrl, 'grace')) },
    );
    expect('link', linkProvider.__typename, 'LinkProviderPayload');
    expect('by link', (await signIn(server, 'grace')).result.user?.id, confirmSignUp.user.id);
  },
};

const provider = await startProvider();
const configured = {
  name: 'audit',
  label: 'Audit',
  issuer: provider.issuer,
  clientId: client.client_id,
  clientSecret: client.client_secret,
  redirectUris: [callback],
};

await withMarquee(
  async (server) => {
    let ok = 0;
    for (const [name, run] of Object.entries(cases)) {
      try {
        await run(server);
        ok++;
        console.log(`ok      ${name}`);
      } catch (error) {
        console.log(`failed  ${name}: ${error.message}`);
      }
    }
    provider.close();
    const total = Object.keys(cases).length;
    console.log(`RESULT ok=${ok} total=${total} verdict=${ok === total ? 'ok' : 'failed'}`);
    return ok === total;
  },
  { MARQUEE_OIDC_PROVIDERS: JSON.stringify([configured]) },
);

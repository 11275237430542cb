// The OpenID Provider of the tests. `node server.mjs CONFIGURATION.json`; what the file may say is in
// src/openid_provider/mod.rs. A second port, for the test itself, rotates keys and signs tokens.
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import http from 'node:http';
import https from 'node:https';
import { SignJWT, exportJWK, generateKeyPair, importJWK } from 'jose';
import { Provider } from 'oidc-provider';

const configuration = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { issuer } = configuration;
const mountPath = new URL(issuer).pathname.replace(/\/$/, '');
const DEFAULT_RESOURCE = 'urn:wandb-auth-operator:test';

async function newKey() {
  const { privateKey } = await generateKeyPair('RS256', { extractable: true });
  return { ...(await exportJWK(privateKey)), kid: randomUUID(), alg: 'RS256', use: 'sig' };
}

// Two people lack something: `without-email`, and `in-many-groups`, whose token only says where the groups are.
function account(id) {
  const claims = {
    sub: id,
    name: id,
    preferred_username: id,
    email: id.includes('@') ? id : `${id}@example.org`,
    email_verified: true,
    groups: ['wandb'],
  };
  if (id === 'without-email') {
    delete claims.email;
  }
  if (id === 'in-many-groups') {
    delete claims.groups;
    claims._claim_names = { groups: 'src1' };
    claims._claim_sources = { src1: { endpoint: `${issuer}/groups` } };
  }
  return { accountId: id, claims: () => claims };
}

// The audience of a machine's token is the configured one, unless it asks for a resource by name.
const resourceIndicators = {
  enabled: true,
  defaultResource: (ctx) =>
    ctx.oidc.params?.grant_type === 'client_credentials' ? DEFAULT_RESOURCE : undefined,
  getResourceServerInfo: (ctx, resource) => ({
    audience: resource === DEFAULT_RESOURCE ? configuration.audience : resource,
    scope: '',
    accessTokenFormat: 'jwt',
    accessTokenTTL: configuration.tokenLifetime,
    jwt: { sign: { alg: 'RS256' } },
  }),
};

function providerOf(keys) {
  return new Provider(issuer, {
    clients: configuration.clients,
    jwks: { keys },
    scopes: ['openid', 'offline_access', ...configuration.scopes],
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'preferred_username'],
      groups: ['groups'],
    },
    conformIdTokenClaims: false,
    cookies: { keys: [randomUUID()] },
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators,
    },
    findAccount: (ctx, id) => account(id),
    interactions: { url: (ctx, { uid }) => `${mountPath}/interaction/${uid}` },
  });
}

function page(title, fields) {
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>${title}</title><h1>${title}</h1>
<form method="post">${fields}</form></html>`;
}

function show(response, status, html) {
  response.writeHead(status, { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' });
  response.end(html);
}

const LOGIN_FIELDS = `<label>Name <input name="login" autocomplete="off"></label>
<label>Password <input name="password" type="password"></label>
<button type="submit">Log in</button>`;
const CONSENT_FIELDS = `<button name="decision" value="allow">Allow</button>
<button name="decision" value="refuse">Refuse</button>`;

async function grantOf({ grantId, session, params, prompt: { details } }) {
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  if (details.missingOIDCScope) {
    grant.addOIDCScope(details.missingOIDCScope.join(' '));
  }
  return grant.save();
}

// The login page: the password is `<name>-password`. After it comes a page that asks for the consent.
async function interact(request, response) {
  const interaction = await provider.interactionDetails(request, response);
  const isLogin = interaction.prompt.name === 'login';
  if (request.method !== 'POST') {
    return show(response, 200, isLogin ? page('Log in', LOGIN_FIELDS) : page('Consent', CONSENT_FIELDS));
  }
  const form = new URLSearchParams((await request.toArray()).join(''));
  if (!isLogin) {
    return form.get('decision') === 'allow'
      ? provider.interactionFinished(request, response, { consent: { grantId: await grantOf(interaction) } })
      : provider.interactionFinished(request, response, {
          error: 'access_denied',
          error_description: 'The person refuses the consent',
        });
  }
  const name = form.get('login');
  return form.get('password') === `${name}-password`
    ? provider.interactionFinished(request, response, { login: { accountId: name } })
    : show(response, 401, page('Wrong name or password', LOGIN_FIELDS));
}

// The first key signs; a provider's keys are fixed, so new keys take a new provider.
let keys = [await newKey()];
let provider = providerOf(keys);
let handle = provider.callback();

function replaceKeys(replacement) {
  keys = replacement;
  provider = providerOf(keys);
  handle = provider.callback();
}

function serve(request, response) {
  console.log(`request ${request.method} ${request.url.split('?')[0]}`);
  if (!request.url.startsWith(`${mountPath}/`)) {
    response.writeHead(404).end();
    return;
  }
  request.originalUrl = request.url;
  request.url = request.url.slice(mountPath.length);
  if (request.url.startsWith('/interaction/')) {
    interact(request, response).catch((error) => show(response, 400, page(error.name, '')));
    return;
  }
  handle(request, response);
}

async function sign(claims) {
  const [{ kid, alg, ...key }] = keys;
  const now = Math.floor(Date.now() / 1000);
  return new SignJWT({ iss: issuer, iat: now, exp: now + 600, ...claims })
    .setProtectedHeader({ alg, kid, typ: 'JWT' })
    .sign(await importJWK({ ...key, alg }, alg));
}

function publicPart({ d, p, q, dp, dq, qi, ...rest }) {
  return rest;
}

async function control(request, response) {
  const body = (await request.toArray()).join('');
  switch (request.url) {
    case '/rotate-keys':
      replaceKeys([await newKey(), ...keys]);
      return response.end();
    case '/withdraw-old-keys':
      replaceKeys(keys.slice(0, 1));
      return response.end();
    case '/published-keys':
      return response.end(JSON.stringify({ keys: keys.map(publicPart) }));
    case '/issue':
      return response.end(await sign(JSON.parse(body)));
    default:
      return response.writeHead(404).end();
  }
}

const server = configuration.tls
  ? https.createServer({ cert: configuration.tls.certificate, key: configuration.tls.key }, serve)
  : http.createServer(serve);
server.listen(configuration.port, configuration.address, () => {
  http.createServer(control).listen(configuration.controlPort, '127.0.0.1');
});

//! Routes and their OpenAPI description, made together from the handlers' types.
//!
//! A handler's arguments say what a request holds and which errors follow ([`Input`]); its result says
//! what a success is ([`Output`]). So a route is one line, and the document cannot forget it.

use std::collections::BTreeMap;

use axum::{
    Router,
    extract::State,
    handler::Handler,
    routing::{MethodFilter, MethodRouter, get, on},
};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{
        self, Array, HttpMethod, KnownFormat, Object, ObjectBuilder, OpenApi, PathItem, Ref, RefOr, Required,
        Schema, SchemaFormat, Type,
        content::ContentBuilder,
        header::HeaderBuilder,
        path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn},
        request_body::RequestBodyBuilder,
        response::ResponseBuilder,
        schema::SchemaType,
        security::SecurityRequirement,
    },
};

use crate::{
    http::answer::{Encoded, FoundEncoded},
    problem::Problem,
};

/// The name of the bearer scheme in the document.
pub const BEARER: &str = "bearer";

/// The route of a document. It is encoded once: anybody may ask for it, and it is large.
pub fn served<S: Clone + Send + Sync + 'static>(document: &OpenApi) -> MethodRouter<S> {
    let encoded = Encoded::of(document).map_err(|error| error.to_string());
    get(async move || match encoded {
        Ok(encoded) => Ok(FoundEncoded(encoded)),
        Err(error) => {
            tracing::error!(error, "the document cannot be encoded");
            Err(Problem::internal())
        }
    })
}

/// Routes with the document that describes them.
pub struct Api<S> {
    router: Router<S>,
    document: OpenApi,
}

impl<S: Clone + Send + Sync + 'static> Default for Api<S> {
    fn default() -> Self {
        Self { router: Router::new(), document: OpenApi::default() }
    }
}

/// What the types of a handler do not say.
#[derive(Clone, Copy, Debug)]
pub struct About {
    summary: &'static str,
    refuses: &'static [u16],
}

/// A sentence on what an operation does.
#[must_use]
pub const fn about(summary: &'static str) -> About {
    About { summary, refuses: &[] }
}

impl About {
    /// Statuses of errors that the handler itself finds.
    #[must_use]
    pub const fn refuses(self, statuses: &'static [u16]) -> Self {
        Self { refuses: statuses, ..self }
    }
}

macro_rules! methods {
    ($($name:ident $filter:ident $method:ident),+) => { $(
        #[doc = concat!("A ", stringify!($filter), " route.")]
        #[must_use]
        pub fn $name<H, T, D>(self, path: &str, handler: H, about: About) -> Self
        where
            H: Handler<T, S> + Documented<D>,
            T: 'static,
        {
            self.route(path, HttpMethod::$method, on(MethodFilter::$filter, handler), Operation::of::<H, D>(path, about))
        }
    )+ };
}

impl<S: Clone + Send + Sync + 'static> Api<S> {
    methods!(get GET Get, post POST Post, put PUT Put, patch PATCH Patch, delete DELETE Delete);

    fn route(mut self, path: &str, method: HttpMethod, route: MethodRouter<S>, operation: Operation) -> Self {
        self.router = self.router.route(path, route);
        let components = self.document.components.get_or_insert_default();
        components.schemas.extend(operation.schemas.clone());
        let item = PathItem::new(method, operation.build());
        match self.document.paths.paths.entry(path.to_owned()) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(item);
            }
            std::collections::btree_map::Entry::Occupied(mut entry) => entry.get_mut().merge_operations(item),
        }
        self
    }

    /// Adds the routes of `other`.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.router = self.router.merge(other.router);
        self.document.merge(other.document);
        self
    }

    /// Puts a layer around the routes so far.
    #[must_use]
    pub fn map_router(mut self, map: impl FnOnce(Router<S>) -> Router<S>) -> Self {
        self.router = map(self.router);
        self
    }

    /// The same routes, given their state.
    #[must_use]
    pub fn with_state<S2>(self, state: S) -> Api<S2> {
        Api { router: self.router.with_state(state), document: self.document }
    }

    /// The router and the document.
    pub fn split(self) -> (Router<S>, OpenApi) {
        (self.router, self.document)
    }
}

/// A handler whose types describe an operation.
pub trait Documented<D> {
    /// Says what goes in and what comes out.
    fn describe(operation: &mut Operation);
}

/// A handler's argument, described.
pub trait Input {
    /// Adds what a request with this argument needs, and the errors that follow.
    fn describe(operation: &mut Operation);
}

/// A handler's success, described.
pub trait Output {
    /// Adds the answer.
    fn describe(operation: &mut Operation);
}

impl<S> Input for State<S> {
    fn describe(_: &mut Operation) {}
}

macro_rules! documented {
    ($($argument:ident),*) => {
        impl<F, Fut, O, E, $($argument),*> Documented<($($argument,)* O, E)> for F
        where
            F: Fn($($argument),*) -> Fut,
            Fut: Future<Output = Result<O, E>>,
            O: Output,
            $($argument: Input),*
        {
            fn describe(operation: &mut Operation) {
                $($argument::describe(operation);)*
                O::describe(operation);
            }
        }
    };
}
documented!();
documented!(A);
documented!(A, B);
documented!(A, B, C);
documented!(A, B, C, D);
documented!(A, B, C, D, G);

/// An operation being described.
#[derive(Default)]
pub struct Operation {
    id: String,
    tag: String,
    summary: &'static str,
    needs_token: bool,
    parameters: Vec<Parameter>,
    /// By media type.
    body: Vec<(&'static str, RefOr<Schema>)>,
    answers: BTreeMap<u16, openapi::Response>,
    schemas: Vec<(String, RefOr<Schema>)>,
}

impl Operation {
    fn of<H: Documented<D>, D>(path: &str, about: About) -> Self {
        // `…::chats::handlers::create` is the operation `chats_create`.
        let names: Vec<_> =
            std::any::type_name::<H>().split("::").filter(|part| *part != "handlers").collect();
        let id = names[names.len().saturating_sub(2)..].join("_");
        let tag = path.split('/').nth(2).unwrap_or_default().to_owned();
        let mut operation = Self { id, tag, summary: about.summary, ..Self::default() };
        for name in path.split(['{', '}']).skip(1).step_by(2) {
            operation.path_parameter(name);
        }
        H::describe(&mut operation);
        operation.refuses(&[500, 503]);
        operation.refuses(about.refuses);
        operation
    }

    fn path_parameter(&mut self, name: &str) {
        let uuid = SchemaFormat::KnownFormat(KnownFormat::Uuid);
        let schema = ObjectBuilder::new().schema_type(Type::String).format(Some(uuid));
        self.parameters.push(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Path)
                .required(Required::True)
                .schema(Some(schema))
                .build(),
        );
        self.refuses(&[400]);
    }

    /// Says that a parameter of the path is text, and no id.
    pub fn path_text(&mut self, name: &str, description: &str) {
        for parameter in self.parameters.iter_mut().filter(|parameter| parameter.name == name) {
            parameter.schema = Some(String::schema());
            parameter.description = Some(description.to_owned());
        }
    }

    /// An access token is needed: 401 without, and 429 for who asks too often with or without.
    pub fn requires_token(&mut self) {
        self.needs_token = true;
        self.refuses(&[401, 429]);
    }

    /// Query parameters or headers; they can be absent, never null.
    pub fn parameters(&mut self, parameters: Vec<Parameter>) {
        self.parameters.extend(parameters.into_iter().map(|mut parameter| {
            parameter.schema.iter_mut().for_each(drop_null);
            parameter
        }));
    }

    /// A JSON body.
    pub fn json_body<T: ToSchema>(&mut self) {
        self.body = vec![("application/json", self.reference::<T>())];
        self.refuses(&[400, 408, 413, 415]);
    }

    /// A body of bytes, of whatever type it says, or a form with one file called `file`.
    pub fn file_body(&mut self) {
        let file = ObjectBuilder::new().property("file", bytes()).required("file").build();
        self.body = vec![("*/*", bytes()), ("multipart/form-data", RefOr::T(file.into()))];
        self.refuses(&[400, 408, 413, 415]);
    }

    /// A header of the request; it can be absent.
    pub fn header_parameter(&mut self, name: &str, description: &str) {
        self.parameters.push(
            ParameterBuilder::new()
                .name(name)
                .parameter_in(ParameterIn::Header)
                .required(Required::False)
                .description(Some(description))
                .schema(Some(String::schema()))
                .build(),
        );
    }

    /// Statuses of problems.
    pub fn refuses(&mut self, statuses: &[u16]) {
        for status in statuses {
            let schema = self.reference::<Problem>();
            let response = ResponseBuilder::new()
                .description(reason(*status))
                .content("application/problem+json", ContentBuilder::new().schema(Some(schema)).build());
            self.answers.entry(*status).or_insert_with(|| response.build());
            match status {
                401 => self.answers_header(401, "WWW-Authenticate", "The scheme: Bearer."),
                429 | 503 => self.answers_header(*status, "Retry-After", "Seconds to wait."),
                _ => {}
            }
            if *status == 429 {
                self.answers_header(
                    429,
                    "RateLimit-Policy",
                    "The limit: `\"name\";q=at once;w=in so many seconds`; without `w`, so many at the same time.",
                );
                self.answers_header(
                    429,
                    "RateLimit",
                    "What is left: `\"name\";r=0;t=seconds until there is more`.",
                );
            }
        }
    }

    /// An answer with a JSON body.
    ///
    /// What may be null in an answer is always there. A field that is left out at times says
    /// `#[schema(value_type = …, required = false)]`.
    pub fn answers_json<T: ToSchema>(&mut self, status: u16) {
        let known = self.schemas.len();
        let schema = self.reference::<T>();
        for (_, schema) in &mut self.schemas[known..] {
            require_nullable(schema);
        }
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response =
            ResponseBuilder::new().description(reason(status)).content("application/json", content);
        self.answers.insert(status, response.build());
    }

    /// An answer with a text body of another type.
    pub fn answers_text(&mut self, status: u16, media_type: &str, description: &str) {
        let content = ContentBuilder::new().schema(Some(String::schema())).build();
        let response = ResponseBuilder::new().description(description).content(media_type, content);
        self.answers.insert(status, response.build());
    }

    /// An answer of bytes of any type.
    pub fn answers_bytes(&mut self, status: u16) {
        let content = ContentBuilder::new().schema(Some(bytes())).build();
        let response = ResponseBuilder::new().description(reason(status)).content("*/*", content);
        self.answers.insert(status, response.build());
    }

    /// An answer without a body.
    pub fn answers_empty(&mut self, status: u16) {
        self.answers.insert(status, ResponseBuilder::new().description(reason(status)).build());
    }

    /// A header of the answer `status`, which must have been added before.
    pub fn answers_header(&mut self, status: u16, name: &str, description: &str) {
        if let Some(response) = self.answers.get_mut(&status) {
            let header =
                HeaderBuilder::new().schema(Some(String::schema())).description(Some(description)).build();
            response.headers.insert(name.to_owned(), header.into());
        }
    }

    fn reference<T: ToSchema>(&mut self) -> RefOr<Schema> {
        let name = T::name().into_owned();
        if !self.schemas.iter().any(|(known, _)| *known == name) {
            self.schemas.push((name.clone(), T::schema()));
            T::schemas(&mut self.schemas);
        }
        RefOr::Ref(Ref::from_schema_name(name))
    }

    fn build(self) -> openapi::path::Operation {
        let mut operation = OperationBuilder::new()
            .operation_id(Some(self.id))
            .tag(self.tag)
            .summary(Some(self.summary))
            .parameters((!self.parameters.is_empty()).then_some(self.parameters));
        if self.needs_token {
            operation = operation.security(SecurityRequirement::new(BEARER, Vec::<String>::new()));
        }
        if !self.body.is_empty() {
            let mut body = RequestBodyBuilder::new().required(Some(Required::True));
            for (media_type, schema) in self.body {
                body = body.content(media_type, ContentBuilder::new().schema(Some(schema)).build());
            }
            operation = operation.request_body(Some(body.build()));
        }
        for (status, response) in self.answers {
            operation = operation.response(status.to_string(), response);
        }
        operation.build()
    }
}

/// Bytes of any type.
fn bytes() -> RefOr<Schema> {
    let format = SchemaFormat::KnownFormat(KnownFormat::Binary);
    RefOr::T(ObjectBuilder::new().schema_type(Type::String).format(Some(format)).build().into())
}

/// Makes the nullable properties of an object, and of the parts it is flattened from, required.
fn require_nullable(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            for (name, property) in &object.properties {
                if is_nullable(property) && !object.required.contains(name) {
                    object.required.push(name.clone());
                }
            }
        }
        RefOr::T(Schema::AllOf(all)) => all.items.iter_mut().for_each(require_nullable),
        _ => {}
    }
}

fn is_nullable(schema: &RefOr<Schema>) -> bool {
    match schema {
        RefOr::T(Schema::OneOf(one)) => one.items.iter().any(is_nullable),
        RefOr::T(Schema::Object(Object { schema_type, .. }) | Schema::Array(Array { schema_type, .. })) => {
            match schema_type {
                SchemaType::Type(only) => *only == Type::Null,
                SchemaType::Array(types) => types.contains(&Type::Null),
                SchemaType::AnyValue => false,
            }
        }
        _ => false,
    }
}

/// Takes null out of the types of a schema.
fn drop_null(schema: &mut RefOr<Schema>) {
    if let RefOr::T(Schema::Object(Object { schema_type, .. }) | Schema::Array(Array { schema_type, .. })) =
        schema
        && let SchemaType::Array(types) = schema_type
    {
        types.retain(|kind| *kind != Type::Null);
        if let [only] = types.as_slice() {
            *schema_type = SchemaType::Type(only.clone());
        }
    }
}

fn reason(status: u16) -> &'static str {
    axum::http::StatusCode::from_u16(status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .unwrap_or("Error")
}
